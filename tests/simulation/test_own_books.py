"""What a sequence is asked of the providers' own books fails where somebody is paid twice, or left without."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.simulation.books import left_alone, paid_twice
from tests.simulation.tied import Tied
from tests.simulation.world import Plan, Simulation, simulation


@pytest.fixture(name="world")
def a_world() -> Iterator[Simulation]:
    with simulation(11) as sim:
        yield sim


def test_a_second_payment_for_one_purpose_is_seen(world: Simulation) -> None:
    """The same purpose under the next number, though the first had succeeded; and a charge above what was owed."""
    Tied(world, Plan(tier=0), {}).finish("consumer")
    assert paid_twice(world) == []
    psp = world.parties["psp"].book
    psp.run("CREATE TABLE again AS SELECT * FROM transfers WHERE kind = 'refund'")
    psp.run("UPDATE again SET id = 'again', amount = 0, key = substr(key, 1, length(key) - 1) || '2'")
    psp.run("INSERT INTO transfers SELECT * FROM again")
    for n in (1, 2):
        sql = "INSERT INTO charges VALUES (?, ?, 'c', 'r', 100, 60, 'CNY', 'succeeded', NULL, 0)"
        psp.run(sql, f"ch{n}", f"m:r:collect.x:{n}")
    twice = paid_twice(world)
    assert len(twice) == 2 and twice[0].endswith("was paid 2 times") and twice[1].endswith("took 120 of 100")


def test_goods_for_which_nobody_was_refunded_are_seen(world: Simulation) -> None:
    """The courier took them and brought them to the merchant, and the provider's book shows no refund."""
    tied = Tied(world, Plan(tier=0), {})
    tied.finish("consumer")
    assert list(left_alone(world, [tied.case])) == []
    world.parties["psp"].book.run("DELETE FROM transfers WHERE kind = 'refund'")
    assert len(list(left_alone(world, [tied.case]))) == 1
    world.parties["courier"].book.run("UPDATE waybills SET state = 'returned'")
    assert list(left_alone(world, [tied.case])) == []


def test_a_reconciliation_ends_after_a_provider_was_away_for_days(world: Simulation) -> None:
    """It parks, and operators have it go on; a simulation in which they did not went on for ever."""
    works, away = world.server.before, world.server.now + timedelta(days=3)

    def weather() -> None:
        world.weather.percent = 100 if world.server.now < away else 0
        works()

    world.server.before = weather
    assert world.reconcile("look").open == 0
    assert away < world.server.now < away + timedelta(hours=3)
