"""Notices: one a key, whatever happens on the way, with the time from which deadlines count."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError

from activities.contract import SendNotice
from activities.notices import NoticeActivities
from backhaul.facts import Party
from backhaul.ledger import CaseRef
from backhaul.money import Money
from store.effects import get
from tests.activities.effects_kit import DATABASES, PATIENCE, Kit, code_of, kit_on

FIRST = datetime(2026, 2, 1, 8, tzinfo=UTC)
DUE = FIRST + timedelta(hours=24)


@pytest.fixture(params=DATABASES)
async def here(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    async with kit_on(request, tmp_path) as made:
        yield made


def asked(case: CaseRef, n: int = 1, within: str = "") -> SendNotice:
    """An offer, with its amount: told of, and not moved by the notice."""
    return SendNotice(
        case=case,
        to=Party.CONSUMER,
        about="offer",
        n=n,
        due=DUE,
        amount=Money(minor=1440, currency="CNY"),
        patience=PATIENCE,
        within=within,
    )


async def test_told_once_with_the_time_of_the_first(here: Kit) -> None:
    notices = NoticeActivities(here.store, here.world.gateways)
    case = await here.case("r1")
    here.started = FIRST
    first = await here.run(notices.send_notice, asked(case))
    here.started = FIRST + timedelta(hours=5)
    again = await here.run(notices.send_notice, asked(case))
    assert first == again
    assert (first.key, first.at) == ("m1:r1:notice.offer:1", FIRST)
    assert await here.world.told("m1/r1") == [("consumer:c1", "offer")]
    async with here.store.read() as session:
        row = await get(session, first.key)
    assert row is not None
    assert (row.kind, row.amount_minor, row.payee, row.case_key) == ("notice", 0, "consumer:c1", "m1/r1")
    assert row.result == {"at": FIRST.isoformat()}
    assert await here.entries(case) == []


async def test_a_reminder_and_a_correction_have_keys_of_their_own(here: Kit) -> None:
    notices = NoticeActivities(here.store, here.world.gateways)
    case = await here.case("r1")
    keys = [
        (await here.run(notices.send_notice, one)).key
        for one in (asked(case), asked(case, 2), asked(case, within="correction.1"))
    ]
    assert keys == ["m1:r1:notice.offer:1", "m1:r1:notice.offer:2", "m1:r1:notice.offer.correction.1:1"]
    assert len(await here.world.told("m1/r1")) == 3


async def test_an_unknown_answer_is_looked_up_and_nobody_is_told_twice(here: Kit) -> None:
    notices = NoticeActivities(here.store, here.world.gateways)
    case = await here.case("r1")
    await here.world.faults("notices", {"kind": "error_after", "match": "POST /v1/notices", "times": 1})
    error = await here.fails(notices.send_notice, asked(case))
    assert code_of(error) == ("Unknown", "provider_unknown")
    here.attempt, here.started = 2, FIRST + timedelta(minutes=1)
    assert (await here.run(notices.send_notice, asked(case))).at == FIRST + timedelta(minutes=1)
    assert len(await here.world.told("m1/r1")) == 1


@pytest.mark.parametrize("state", ["failed", "refuse"])
async def test_nobody_was_told(here: Kit, state: str) -> None:
    notices = NoticeActivities(here.store, here.world.gateways)
    case = await here.case("r1")
    await here.world.script("notices", "notice.offer:1", state=state)
    for _ in range(2):
        error: ApplicationError = await here.fails(notices.send_notice, asked(case))
        assert code_of(error) == ("Rejected", "notice_undelivered")
    assert await here.world.told("m1/r1") == []
    assert (await here.run(notices.send_notice, asked(case, 2))).key.endswith(":2")


async def test_pending_is_nobody_told_yet(here: Kit) -> None:
    notices = NoticeActivities(here.store, here.world.gateways)
    case = await here.case("r1")
    await here.world.script("notices", "notice.offer", state="pending")
    assert code_of(await here.fails(notices.send_notice, asked(case))) == ("Unknown", "pending")
    assert await here.world.told("m1/r1") == []
