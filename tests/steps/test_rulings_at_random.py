"""Rulings to and fro, at random: one party or several, more or less of each, before the close and after it, with an
insurer who approves, cuts or denies, and parties who pay, in part or not. After each the books of the claims agree."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import timedelta

import pytest

from activities.contract import IndemnityPlan, MoneyBack, Resettled
from activities.steps.amounts import CLAWBACK, Amounts
from activities.steps.before import versions_of
from backhaul.facts import LiabilityShare, Liable, LineFinding
from backhaul.ids import CaseId, account_key, claim_ref, collect_key, recovery_key
from backhaul.ledger import (
    CaseRef,
    P,
    Side,
    alternate_payout,
    carrier_paid_cash,
    consumer_collected,
    courier_paid,
    made,
    recovery_remitted,
    recovery_returned,
)
from backhaul.money import Money
from store import claims, credit, ledger, recoveries
from store.reconcile import check_books
from store.tables import RecoveryRow
from tests.steps.support import AT, LIBRARY, World, a_line, a_request, an_order, at_receipt, found, yuan
from tests.steps.test_rerulings import OF_MONEY
from tests.steps.test_resettling import arrived, resettle

SEEDS = range(24)
KEY = "m1/r1"
DEBT = claim_ref(CaseId("m1", "r1"), CLAWBACK)
COAT = [found(severity=severity) for severity in (10, 30, 50, 80)]
SCARF = [found(severity=severity, line="l2") for severity in (30, 50, 100)]
LATE = at_receipt(found(), found(severity=50, line="l2"), after=timedelta(hours=49))
OPEN = OF_MONEY - {7, 9}
"""What holds before the close, too."""
ZERO = yuan("0.00")


class Story:
    """One return of a coat and a scarf, and what is ruled of it. `moody`: the insurer may cut or deny."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.random, self.told = world, random.Random(seed), list[str]()
        self.moody = seed % 2 == 1
        self.closed, self.rulings, self.payments = False, 0, 0
        self.case: CaseRef

    async def begins(self) -> None:
        """Up to the first ruling, and what it settles. With or without lightning, a cover, a finding at the door."""
        dice, world = self.random, self.world
        tier, rdv = dice.choice([0, 3]), dice.choice(["max", "max", "500.00", None])
        lines = (a_line(paid=dice.choice(["1200.00", "1200.00", "3200.00"])), a_line("l2", paid="400.00"))
        await world.order(an_order(*lines, tier=tier, rdv=rdv, limit="9000.00"))
        self.case = (await world.judge(a_request(lines={"l1": 1, "l2": 1}))).case
        door = dice.choice([(), (found(),), (found(severity=80),)])
        await world.refund(self.case, (await world.collect(self.case, *door)).refunds)
        if door and dice.randrange(2):
            plan = (await world.assess(self.case, *door, ruling=await self.rules())).indemnity
            await self.insurer(plan)
        ruling = await self.rules()
        said = await world.settle(self.case, "receipt_issue", LATE, ruling)
        await self.insurer(said.indemnity)
        if said.claim_first:
            assert said.indemnity is not None
            said = await world.settle(self.case, "receipt_issue", LATE, ruling, said.indemnity.claim_ref)
            assert not said.claim_first
        await world.refund(self.case, said.refunds)

    async def rules(self) -> str:
        """A ruling that names one to three parties."""
        dice = self.random
        self.rulings += 1
        parties = dice.sample(["consumer", "carrier", "insurer", "merchant"], dice.choice([1, 2, 2, 3]))
        each = [self._findings() for _ in parties]
        self.told.append(
            f"ruled {[(who, [str(one) for one in what]) for who, what in zip(parties, each, strict=True)]}"
        )
        shares = [LiabilityShare(liable=Liable(who), findings=what) for who, what in zip(parties, each, strict=True)]
        ruling = f"ruling{self.rulings}"
        return await self.world.rule(self.case, parties[0], *each[0], ruling_id=ruling, shares=tuple(shares[1:]))

    def _findings(self) -> tuple[LineFinding, ...]:
        dice = self.random
        return tuple(dice.sample([dice.choice(COAT), dice.choice(SCARF)], dice.choice([1, 1, 2])))

    async def again(self) -> None:
        """Settled anew on another ruling, of a parcel that turned up or on an appeal; everything is carried out."""
        ruling, tag = await self.rules(), f"again.{self.rulings}"
        turned_up = not self.closed and bool(self.random.randrange(2))
        how = arrived(self.case, ruling_id=ruling) if turned_up else {"ruling_id": ruling}
        at = AT + timedelta(days=9 + self.rulings)
        said = await resettle(self.world, self.case, tag=tag, at=at, **how)
        if said.claim_first and said.indemnity is not None:
            await self.back(said.back)
            await self.insurer(said.indemnity)
            how["claimed"] = said.indemnity.claim_ref
            said = await resettle(self.world, self.case, tag=tag, at=at, **how)
            assert not said.claim_first
        await self.carried_out(said)

    async def carried_out(self, said: Resettled) -> None:
        await self.back(said.back)
        await self.insurer(said.indemnity if not said.claim_first else None)
        for one in said.repayments:
            await self.world.post(alternate_payout(self.case, one.amount, key=account_key(one.key)))
        await self.world.refund(self.case, said.refunds)

    async def back(self, sums: Iterable[MoneyBack]) -> None:
        """J42 to the insurer; J45, and J15 to a carrier."""
        case, post = self.case, self.world.post
        for one in sums:
            self.told.append(f"{one.amount} back to the {one.to}")
            if one.to == "insurer":
                await post(recovery_remitted(case, one.amount, claim_ref=one.claim_ref, key=one.key))
                continue
            ref, courier = one.claim_ref, one.courier
            await post(recovery_returned(case, one.amount, claim_ref=ref, key=one.key, courier=courier))
            if courier is not None:
                await post(courier_paid(case, one.amount, courier=courier, waybill=one.waybill or "", key=one.key))

    async def insurer(self, plan: IndemnityPlan | None) -> None:
        """All of it is approved and paid; or half of it, or nothing."""
        if plan is None:
            return
        mood = self.random.choice(["all", "half", "none"]) if self.moody else "all"
        self.told.append(f"insurer, of {plan.amount}: {mood}")
        if mood == "none":
            await self.world.deny(self.case, plan)
        elif mood == "all":
            await self.world.indemnify(self.case, plan)
        else:
            await self.world.indemnify(self.case, plan, agreed=plan.amount.fraction(1, 2))

    # ---- what is recovered -------------------------------------------------------------------------------------

    async def recoveries(self) -> tuple[RecoveryRow, ...]:
        async with self.world.store.read() as session:
            return tuple(await recoveries.of_case(session, KEY))

    async def recover(self, *, all_of_it: bool = False) -> None:
        """What is in hand is sent; of what is demanded nothing, a half or all is paid."""
        for row in await self.recoveries():
            if row.remitted_minor < row.in_hand_minor:
                await self._remit(row, _fen(row.in_hand_minor - row.remitted_minor))
            left = recoveries.left(row)
            part = left if all_of_it else self.random.choice([ZERO, left.fraction(1, 2), left])
            if part:
                self.told.append(f"{row.recovery_ref}: the {row.liable} pays {part} of {left}")
                await (self._carrier_pays(row, part) if row.liable == "carrier" else self._consumer_pays(row, part))

    async def _carrier_pays(self, row: RecoveryRow, part: Money) -> None:
        self.payments += 1
        async with self.world.store.transaction() as session:
            row = await claims.need_recovery(session, row.recovery_ref, lock=True)
            entries = await recoveries.recognise(
                session, self.case, row, _fen(row.amount_minor - row.in_hand_minor), AT
            )
            await recoveries.collect(session, row, part, AT, cash=True)
            ref = f"{row.recovery_ref}.{self.payments}"
            entries += made(carrier_paid_cash(self.case, part, claim_ref=row.claim_ref, ref=ref))
            await ledger.post(session, entries, AT)
        await self._remit(row, part)

    async def _consumer_pays(self, row: RecoveryRow, part: Money) -> None:
        assert row.liable == "consumer", f"{row.recovery_ref} demands of the {row.liable}"
        self.payments += 1
        key = collect_key(CaseId("m1", "r1"), row.recovery_ref, self.payments)
        async with self.world.store.transaction() as session:
            row = await claims.need_recovery(session, row.recovery_ref, lock=True)
            await recoveries.collect(session, row, part, AT)
            await credit.collected(session, KEY, part, AT)
            await ledger.post(session, made(consumer_collected(self.case, part, key=key, claim_ref=row.claim_ref)), AT)
        if row.claim_ref != DEBT:
            await self._remit(row, part)

    async def _remit(self, row: RecoveryRow, amount: Money) -> None:
        self.payments += 1
        key = recovery_key(row.recovery_ref, "remit", self.payments)
        await self.world.post(recovery_remitted(self.case, amount, claim_ref=row.claim_ref, key=key))
        async with self.world.store.transaction() as session:
            await recoveries.remitted(session, row.recovery_ref, amount, AT)

    # ---- what must hold ----------------------------------------------------------------------------------------

    async def holds(self) -> None:
        """The invariants; each party is asked for its own part; what we owe the insurer is what is in hand or owed."""
        found_ = await check_books(self.world.store, LIBRARY)
        assert [str(one) for one in found_ if one.invariant in (OF_MONEY if self.closed else OPEN)] == []
        last, every = await self._amounts(), await self.recoveries()
        of_claims = [row for row in every if row.claim_ref != DEBT]
        asked = {who: sum(_demanded(row) for row in of_claims if row.liable == who) for who in ("consumer", "carrier")}
        assert asked["consumer"] == last.result.consumer_receivable.minor
        assert asked["carrier"] <= last.result.from_carrier.minor
        assert self.moody or asked["carrier"] == last.result.from_carrier.minor
        books = await self.world.balances()
        in_hand = sum(max(0, row.in_hand_minor - row.remitted_minor) for row in of_claims)
        assert -books.get("P2040", 0) == in_hand + await self._owed({row.claim_ref for row in of_claims})
        assert (books.get("P1130", 0), books.get("P2010", 0)) == (0, 0)

    async def _amounts(self) -> Amounts:
        async with self.world.store.read() as session:
            return (await versions_of(session, KEY))[-1]

    async def _owed(self, refs: set[str]) -> int:
        """What the consumer owes of the claims."""
        async with self.world.store.read() as session:
            entries = [one.entry for one in await ledger.entries_of(session, KEY)]
        return sum(
            entry.total(P.CONSUMER_RECEIVABLE, Side.DEBIT) - entry.total(P.CONSUMER_RECEIVABLE, Side.CREDIT)
            for entry in entries
            if entry.claim_ref in refs
        )


def _fen(minor: int) -> Money:
    return Money(minor=minor, currency="CNY")


def _demanded(row: RecoveryRow) -> int:
    return row.amount_minor - row.in_hand_minor


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_is_ruled_each_pays_their_own_part(sqlite_world: World, seed: int) -> None:
    story = Story(sqlite_world, seed)
    try:
        await _plays(story)
    except Exception as error:
        error.add_note("\n".join(story.told))
        raise


async def _plays(story: Story) -> None:
    await story.begins()
    await story.holds()
    for _ in range(story.random.choice([0, 0, 1, 2])):
        await story.again()
        await story.holds()
    await story.world.end(story.case)
    story.closed = True
    for _ in range(story.random.choice([1, 2, 3])):
        await story.recover()
        await story.holds()
        await story.again()
        await story.holds()
    await story.recover(all_of_it=True)
    await story.holds()
    books = await story.world.balances()
    assert (books.get("P1110", 0), books.get("P2040", 0)) == (0, 0)
