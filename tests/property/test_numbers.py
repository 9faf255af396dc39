"""Numbers of payment keys rise only on the provider's word: whatever is tried in whatever order (invariant 14)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backhaul.errors import Rejected
from backhaul.ids import next_key, previous_key, recovery_key
from backhaul.money import Money
from store import effects
from store.effects import Answer, Intent, Outcome
from tests.store.support import fresh_sqlite

AT = datetime(2026, 1, 5, 8, tzinfo=UTC)
FIRST = "m1:r1:refund.pay-1:1"
ACTS = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["begin", "send", "fail", "succeed", "give_up"])), max_size=25
)


def intent(n: int) -> Intent:
    key = FIRST
    for _ in range(n - 1):
        key = next_key(key)
    return Intent(key, "refund", "psp", Money(minor=100), "c1", timedelta(days=30), numbered=True)


def test_a_set_off_follows_on_the_one_before() -> None:
    """The first part of a recovery has no number."""
    keys = [recovery_key("m1.r1.loss.1", "set_off", n) for n in (1, 2, 3)]
    assert [previous_key(key) for key in keys] == [None, *keys[:2]]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(acts=ACTS)
async def test_at_most_one_number_may_pay(acts: list[tuple[int, str]]) -> None:
    """After any acts: of all numbers that were begun, all but the last have failed at the provider itself."""
    async with fresh_sqlite() as store:
        for n, act in acts:
            wanted = intent(n)
            async with store.transaction() as session:
                row = await effects.get(session, wanted.key)
                if act == "begin":
                    before = None if n == 1 else await effects.get(session, intent(n - 1).key)
                    proved = before is not None and before.state == Outcome.FAILED and before.code != effects.GIVEN_UP
                    try:
                        await effects.begin(session, wanted, AT)
                        began = True
                    except Rejected as refused:
                        began = refused.code != "proof_refused"
                    assert began == (n == 1 or row is not None or proved)
                elif row is None or row.state in {Outcome.SUCCEEDED, Outcome.FAILED}:
                    continue
                elif act == "send":
                    effects.mark_sent(session, row, AT)
                elif act == "give_up":
                    row.state, row.code = Outcome.FAILED.value, effects.GIVEN_UP
                    session.add(row)
                else:
                    failed = act == "fail"
                    outcome = Outcome.FAILED if failed else Outcome.SUCCEEDED
                    answer = Answer(outcome, code="channel_closed" if failed else None)
                    await effects.finish(session, row, answer, AT)
        async with store.read() as session:
            rows = [row for n in range(1, 5) if (row := await effects.get(session, intent(n).key)) is not None]
        assert all(row.state == Outcome.FAILED and row.code == "channel_closed" for row in rows[:-1])
