"""Effects: one success outside and one entry inside, wherever a run stops and however often it starts again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import BackhaulError, Rejected, Transient, Unknown
from backhaul.ledger import JournalEntry, made, refund_succeeded
from store import effects, ledger
from store.effects import Answer, ApprovalUse, Done, Intent, Outcome, run_effect, settle
from store.engine import Store
from store.tables import EffectRow
from tests.approvals import CreateApproval, create_approval
from tests.store.support import AT, Clock, a_case, yuan

KEY = "m1:r1:refund.p1:1"
AMOUNT = yuan("1200.00")


class Killed(BaseException):
    """The process is gone."""


class Provider:
    """An outside world that honours keys: what it did, and how often it was asked."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.done: dict[str, Answer] = {}
        self.sends = 0
        self.look_ups = 0
        self.payments = 0

    async def send(self) -> Answer:
        self.sends += 1
        if KEY not in self.done:
            answer = self.answers.pop(0) if self.answers else succeeded()
            if isinstance(answer, Exception):
                raise answer
            self.done[KEY] = answer
            self.payments += answer.outcome is Outcome.SUCCEEDED
        return self.done[KEY]

    async def look_up(self) -> Answer | None:
        self.look_ups += 1
        return self.done.get(KEY)


def succeeded(**about: Any) -> Answer:
    return Answer(Outcome.SUCCEEDED, ref="rf_1", **about)


def intent(**changes: Any) -> Intent:
    fields: dict[str, Any] = {
        "key": KEY,
        "kind": "refund",
        "provider": "psp",
        "amount": AMOUNT,
        "payee": "c1",
        "lifetime": timedelta(days=30),
        "body": {"payment_id": "p1"},
    }
    return Intent(**{**fields, **changes})


def entries(row: EffectRow) -> Iterable[JournalEntry]:
    return made(refund_succeeded(a_case(), AMOUNT, key=row.key))


async def run(
    store: Store,
    provider: Provider,
    clock: Clock | None = None,
    *,
    what: Intent | None = None,
    send: Callable[[], Awaitable[Answer]] | None = None,
    look_up: Callable[[], Awaitable[Answer | None]] | None = None,
    **more: Any,
) -> Done:
    return await run_effect(
        store,
        what or intent(),
        look_up=look_up or provider.look_up,
        send=send or provider.send,
        clock=clock or Clock(),
        **{"entries": entries, **more},
    )


async def row_of(store: Store) -> EffectRow:
    async with store.read() as session:
        row = await effects.get(session, KEY)
    assert row is not None
    return row


async def posted(store: Store) -> int:
    async with store.read() as session:
        return await ledger.head(session)


async def refused(running: Awaitable[Done], kind: type[BackhaulError]) -> str:
    with pytest.raises(kind) as error:
        await running
    return error.value.code


async def test_the_straight_way(store: Store) -> None:
    provider = Provider()
    done = await run(store, provider)
    assert done == Done(KEY, "rf_1", AMOUNT, "c1", {})
    assert await run(store, provider) == done
    assert (provider.sends, provider.look_ups, await posted(store)) == (1, 0, 1)
    row = await row_of(store)
    assert (row.state, row.attempts, row.request) == ("succeeded", 1, {"payment_id": "p1"})


class Kill:
    """Stops a run before or after its n-th transaction, once."""

    def __init__(self, store: Store, nth: int, after: bool) -> None:
        self._run, self._left, self._after = store.run, nth, after

    async def __call__(self, work: Callable[[AsyncSession], Awaitable[Any]]) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        result = await self._run(work)
        if self._left == 0:
            raise Killed
        return result


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("nth", [1, 2])
async def test_killed_around_a_transaction(
    store: Store, monkeypatch: pytest.MonkeyPatch, nth: int, after: bool
) -> None:
    provider = Provider()
    with monkeypatch.context() as patch:
        patch.setattr(store, "run", Kill(store, nth, after))
        with pytest.raises(Killed):
            await run(store, provider)
    await run(store, provider)
    assert (provider.payments, await posted(store), (await row_of(store)).state) == (1, 1, "succeeded")


@pytest.mark.parametrize("happened", [False, True])
async def test_killed_in_the_call(store: Store, happened: bool) -> None:
    provider = Provider()

    async def killed() -> Answer:
        if happened:
            await provider.send()
        raise Killed

    with pytest.raises(Killed):
        await run(store, provider, send=killed)
    assert (await row_of(store)).state == "sent"
    await run(store, provider)
    assert (provider.payments, provider.look_ups, await posted(store)) == (1, 1, 1)
    # What was found is not sent again.
    assert provider.sends == 1


@pytest.mark.parametrize("where", ["look_up", "again", "send_again", "also", "entries"])
async def test_killed_on_the_second_run(store: Store, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    provider = Provider(Unknown("provider_unknown"))
    assert await refused(run(store, provider), Unknown) == "provider_unknown"

    async def kill(*_: object) -> Any:
        raise Killed

    def kill_now(_: EffectRow) -> Iterable[JournalEntry]:
        raise Killed

    changes: dict[str, dict[str, Any]] = {
        "look_up": {"look_up": kill},
        "again": {},
        "send_again": {"send": kill},
        "also": {"also": kill},
        "entries": {"entries": kill_now},
    }
    with monkeypatch.context() as patch:
        if where == "again":
            patch.setattr(store, "run", Kill(store, 2, after=True))
        with pytest.raises(Killed):
            await run(store, provider, **changes[where])
    await run(store, provider)
    assert (provider.payments, await posted(store), (await row_of(store)).state) == (1, 1, "succeeded")


async def test_two_runs_at_once_have_one_effect(stores: tuple[Store, Store]) -> None:
    provider = Provider()
    done = await asyncio.gather(*(run(stores[n % 2], provider) for n in range(8)))
    assert {one.ref for one in done} == {"rf_1"}
    assert (provider.payments, await posted(stores[0])) == (1, 1)


async def test_a_key_is_for_one_thing(store: Store) -> None:
    provider = Provider()
    await run(store, provider)
    for change in (
        {"amount": yuan("1.00")},
        {"payee": "c2"},
        {"kind": "payout"},
        {"provider": "other"},
        {"case_key": "x"},
    ):
        assert await refused(run(store, provider, what=intent(**change)), Rejected) == "effect_conflict"
    assert provider.sends == 1


async def test_pending_is_not_terminal(store: Store) -> None:
    provider = Provider(Answer(Outcome.PENDING))
    assert await refused(run(store, provider), Unknown) == "pending"
    assert await refused(run(store, provider), Unknown) == "pending"
    assert await posted(store) == 0
    provider.done[KEY] = succeeded()
    assert (await run(store, provider)).ref == "rf_1"
    assert (provider.sends, await posted(store)) == (1, 1)


async def test_an_explicit_failure_is_terminal(store: Store) -> None:
    provider = Provider(Answer(Outcome.FAILED, code="account_abnormal"))
    seen: list[str | None] = []

    async def failed(session: AsyncSession, row: EffectRow) -> Iterable[JournalEntry]:
        seen.append(row.code)
        return ()

    for _ in range(2):
        assert await refused(run(store, provider, failed=failed), Rejected) == "account_abnormal"
    assert (provider.sends, seen, await posted(store)) == (1, ["account_abnormal"], 0)


async def test_a_no_to_the_call_leaves_the_key_open(store: Store) -> None:
    provider = Provider(Rejected("exceeds_capture"))
    assert await refused(run(store, provider), Rejected) == "exceeds_capture"
    row = await row_of(store)
    assert (row.state, row.code) == ("sent", "exceeds_capture")
    await run(store, provider)
    assert (provider.look_ups, provider.payments, await posted(store)) == (1, 1, 1)


async def test_a_look_up_that_fails_is_unknown(store: Store) -> None:
    provider = Provider(Transient("provider_unavailable"))
    assert await refused(run(store, provider), Transient) == "provider_unavailable"

    async def down() -> Answer | None:
        raise Transient("provider_rate_limited", retry_after_s=7)

    with pytest.raises(Unknown) as error:
        await run(store, provider, look_up=down)
    assert (error.value.code, error.value.retry_after_s) == ("provider_unknown", 7)


async def test_an_old_key_is_looked_up_and_never_sent_again(store: Store) -> None:
    """Past half the key's lifetime the provider may soon forget it: a second send could be a second payment."""
    clock, provider = Clock(), Provider(Unknown("provider_unknown"))
    assert await refused(run(store, provider, clock), Unknown) == "provider_unknown"
    clock.forward(timedelta(days=15, seconds=1))
    assert await refused(run(store, provider, clock), Unknown) == "provider_unknown"
    assert (provider.sends, provider.look_ups) == (1, 1)
    provider.done[KEY] = succeeded()
    assert (await run(store, provider, clock)).ref == "rf_1"
    assert provider.sends == 1


async def test_a_young_key_is_sent_again(store: Store) -> None:
    clock, provider = Clock(), Provider(Unknown("provider_unknown"))
    assert await refused(run(store, provider, clock), Unknown) == "provider_unknown"
    clock.forward(timedelta(days=15))
    await run(store, provider, clock)
    assert (provider.sends, (await row_of(store)).attempts) == (2, 2)


@pytest.mark.parametrize("about", [{"amount": yuan("1.00")}, {"payee": "somebody"}])
async def test_another_payment_found_under_the_key_is_an_alarm(store: Store, about: dict[str, Any]) -> None:
    provider = Provider(succeeded(**about))
    assert await refused(run(store, provider), Rejected) == "effect_conflict"
    assert await posted(store) == 0


async def test_what_happens_beside_the_result_happens_with_it(store: Store) -> None:
    """A transaction that cannot post does not keep the result either."""
    provider = Provider()

    async def refuse(session: AsyncSession, row: EffectRow) -> None:
        raise Rejected("over_refund")

    assert await refused(run(store, provider, also=refuse), Rejected) == "over_refund"
    assert (await row_of(store)).state == "sent"
    await run(store, provider)
    assert (provider.payments, await posted(store)) == (1, 1)


async def approve(store: Store, amount: str = "1200.00") -> ApprovalUse:
    request = CreateApproval(
        merchant_id="m1", rma_id="r1", subject=KEY, amount=yuan(amount), payee="c1", prepared_by="ann"
    )
    async with store.transaction() as session:
        await create_approval(session, "a1", request, "bob", AT)
    return ApprovalUse("a1", "m1/r1", KEY)


async def test_an_approval_is_consumed_with_the_intent(store: Store) -> None:
    approval = await approve(store)
    provider = Provider(Unknown("provider_unknown"))
    assert await refused(run(store, provider, approval=approval), Unknown) == "provider_unknown"
    # The same effect goes on with the approval it has; another key cannot use it.
    await run(store, provider, approval=approval)
    other = run(store, Provider(), what=intent(key="m1:r1:refund.p1:2"), approval=approval)
    assert await refused(other, Rejected) == "approval_used"
    assert (await row_of(store)).approval_id == "a1"


async def test_nothing_is_sent_without_the_approval_that_fits(store: Store) -> None:
    approval = await approve(store, amount="1199.99")
    provider = Provider()
    assert await refused(run(store, provider, approval=approval), Rejected) == "approval_mismatch"
    missing = ApprovalUse("none", "m1/r1", KEY)
    assert await refused(run(store, provider, approval=missing), Rejected) == "approval_unknown"
    assert provider.sends == 0
    async with store.read() as session:
        assert await effects.get(session, KEY) is None


async def test_a_proof_settles_an_effect_once(store: Store) -> None:
    provider = Provider(Answer(Outcome.FAILED, code="channel_closed"))
    assert await refused(run(store, provider), Rejected) == "channel_closed"
    clock = Clock()
    # The provider's books have the last word: a success wins over a failure kept before.
    for _ in range(2):
        assert (await settle(store, KEY, succeeded(), clock=clock, entries=entries)).ref == "rf_1"
    late = Answer(Outcome.FAILED, code="channel_closed")
    assert (await settle(store, KEY, late, clock=clock, entries=entries)).ref == "rf_1"
    assert await posted(store) == 1


@pytest.mark.parametrize("answer", [Answer(Outcome.PENDING), succeeded()])
async def test_no_proof_no_end(store: Store, answer: Answer) -> None:
    key = "unknown" if answer.outcome is Outcome.SUCCEEDED else KEY
    assert await refused(run(store, Provider(Unknown("provider_unknown"))), Unknown) == "provider_unknown"
    assert await refused(settle(store, key, answer, clock=Clock()), Rejected) == "proof_refused"
