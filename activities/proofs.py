"""Is an effect terminal? The provider's own books say so, or a second person does. Architecture 2, 3.9; domain 6, 14.

Succeeded: it ends as if it had returned. Failed or approved: its alternative entries are posted, so that the case can
go on without it: a refund goes to unclaimed money (J62), an advance is left to the normal settlement, what was
reserved for a claim is released (J33).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities import demands, insurer_plans, payment_plans
from activities.contract import (
    FreightClaim,
    IndemnityPlan,
    Patience,
    PayConsumer,
    Proof,
    ProveTerminal,
    RecoveryPlan,
    RefundPart,
)
from activities.effects_support import Plan, World, case_key, run
from backhaul.errors import Rejected
from backhaul.ledger import CaseRef, JournalEntry, made, rdv_approved, refund_unclaimed, reversal, rfi_approved
from backhaul.money import Money
from store import authority, claims, consumer_money, ledger, recoveries, refunds, settlement, unclaimed
from store.effects import GIVEN_UP, Outcome, get, settle
from store.tables import EffectRow

OVER = frozenset({"denied", "closed"})
"""States of a claim that has no reserve any more."""

Alternative = Callable[[AsyncSession, bool], Awaitable[Iterable[JournalEntry]]]
"""What follows where it never happened; the flag says that the provider itself proved the failure."""


@dataclass(frozen=True)
class Subject:
    """What is to be proved: one payment, or a claim's effects in their order."""

    key: str
    amount: Money
    payee: str
    plans: tuple[Plan, ...]
    alternative: Alternative
    claim: tuple[CaseRef, str] | None = None
    """Given up without a denial, it is closed at the insurer."""


async def prove(world: World, asked: ProveTerminal) -> Proof:
    """The proof, with everything that follows from it posted. Raises Rejected(`proof_refused`)."""
    return await prove_subject(world, await _subject(world, asked), case_key(asked.case), asked.approval_id)


async def prove_subject(world: World, subject: Subject, about: str, approval_id: str | None) -> Proof:
    """The proof of what is described; `about` is the key of the case, or of the merchant, that an approval names.

    Raises Rejected(`proof_refused`), and what `authority.consume` raises."""
    ref: str | None = None
    for plan in subject.plans:
        standing = await _settle(world, plan)
        if standing is None:
            if approval_id is None:
                raise Rejected("proof_refused")
            await _give_up(world, about, subject, plan, approval_id=approval_id)
            await _close(world, subject)
            return Proof(key=subject.key, state="approved")
        if standing.outcome is Outcome.FAILED:
            await _give_up(world, about, subject, plan, approval_id=None)
            if not plan.intent.kind.endswith("_approval"):
                await _close(world, subject)
            return Proof(key=subject.key, state=Outcome.FAILED.value)
        ref = standing.ref
    return Proof(key=subject.key, state=Outcome.SUCCEEDED.value, ref=ref)


async def _close(world: World, subject: Subject) -> None:
    """The insurer hears that a claim it has reserved is given up: its reserve is free there, too."""
    if subject.claim is None:
        return
    async with world.store.read() as session:
        reserved = await get(session, insurer_plans.reserve_key(subject.claim[1]))
    if reserved is not None and reserved.state == Outcome.SUCCEEDED:
        await run(world, insurer_plans.close(world, subject.claim[0], subject.claim[1]))


@dataclass(frozen=True)
class Terminal:
    """A terminal effect."""

    outcome: Outcome
    ref: str | None = None


async def _settle(world: World, plan: Plan) -> Terminal | None:
    """End the effect as the provider's books say; None where they say nothing terminal."""
    async with world.store.read() as session:
        row = await get(session, plan.intent.key)
    if row is not None and row.state == Outcome.SUCCEEDED:
        return Terminal(Outcome.SUCCEEDED, row.provider_ref)
    answer = await plan.look_up()
    if answer is None or answer.outcome is Outcome.PENDING or row is None:
        return Terminal(Outcome.FAILED) if row is not None and _failed_there(row) else None
    try:
        done = await settle(
            world.store,
            plan.intent.key,
            answer,
            clock=world.clock,
            entries=plan.entries,
            also=plan.also,
            failed=plan.failed,
        )
    except Rejected:
        if answer.outcome is not Outcome.FAILED:
            raise
        return Terminal(Outcome.FAILED)
    return Terminal(Outcome.SUCCEEDED, done.ref)


def _failed_there(row: EffectRow) -> bool:
    """The provider said so before, and not a second person."""
    return row.state == Outcome.FAILED and row.code != GIVEN_UP


async def _give_up(world: World, about: str, subject: Subject, plan: Plan, *, approval_id: str | None) -> None:
    """One transaction: the approval consumed, the effect ended, its alternative entries posted. Repeats do nothing."""

    async def end(session: AsyncSession) -> None:
        at = world.clock()
        if approval_id is not None:
            await authority.consume(
                session,
                approval_id,
                case_key=about,
                subject=subject.key,
                amount=subject.amount,
                payee=subject.payee,
                by=f"skip {subject.key}",
                at=at,
            )
            row = await get(session, plan.intent.key, lock=True)
            if row is not None and row.state not in {Outcome.SUCCEEDED, Outcome.FAILED}:
                row.state, row.code, row.finished_at = Outcome.FAILED.value, GIVEN_UP, at
                session.add(row)
        await ledger.post(session, await subject.alternative(session, approval_id is None), at)

    await world.store.run(end)


# ---- what a key stands for ----------------------------------------------------------------------------------------


async def _subject(world: World, asked: ProveTerminal) -> Subject:
    """Describe the effects under a key again from what their rows keep."""
    async with world.store.read() as session:
        mine = select(EffectRow).where(EffectRow.case_key == case_key(asked.case)).order_by(col(EffectRow.created_at))
        rows = (await session.exec(mine)).all()
    for row in rows:
        case, about = CaseRef.model_validate(row.request["case"]), row.request["about"]
        if row.key == asked.key and row.kind == "refund":
            return _refund(world, case, RefundPart.model_validate(about))
        if row.key == asked.key and row.kind in {consumer_money.ALTERNATE, consumer_money.CLAIMED}:
            return _to_account(world, PayConsumer(case=case, patience=Patience(), **about))
        if row.key == asked.key and row.kind == "advance":
            return _advance(world, case, IndemnityPlan.model_validate(about), str(row.request["batch"]))
        if row.key == asked.key and row.kind == "funding":
            return _funding(world, case, IndemnityPlan.model_validate(about))
        if row.key == asked.key and row.kind in _OF_RECOVERY:
            return _recovery(world, case, row)
        if row.kind == "freight_reserve" and about["payment_key"] == asked.key:
            return _freight(world, case, FreightClaim.model_validate(about), rows)
        if row.kind == "loss_reserve" and about["claim_ref"] == asked.key:
            return _loss(world, case, IndemnityPlan.model_validate(about))
    raise Rejected("proof_refused", f"nothing was begun under {asked.key}")


_OF_RECOVERY = frozenset({"remittance", "charge", recoveries.SET_OFF})


def _recovery(world: World, case: CaseRef, row: EffectRow) -> Subject:
    """A step of a recovery that never happened posts nothing: what was to be remitted stays owed to the insurer
    (P2040), what was to be collected stays owed to us."""

    async def alternative(session: AsyncSession, proved: bool) -> Sequence[JournalEntry]:
        return ()

    about = RecoveryPlan.model_validate(row.request["about"])
    amount = Money(minor=row.amount_minor, currency=row.currency)
    if row.kind == "remittance":
        plan = insurer_plans.remit(world, case, about, amount, int(row.request.get("n") or 1))
    elif row.kind == "charge":
        plan = payment_plans.charge(world, case, about, amount, row.key)
    else:
        courier = world.gateways.courier(row.provider)
        plan = demands.set_off_plan(world, courier, row.provider, case, about, amount, row.key)
    return Subject(row.key, amount, row.payee, (plan,), alternative)


def _refund(world: World, case: CaseRef, part: RefundPart) -> Subject:
    """J62: the consumer's money waits to be claimed."""

    async def alternative(session: AsyncSession, proved: bool) -> Sequence[JournalEntry]:
        entries = made(refund_unclaimed(case, part.amount, part=part.payment_key))
        await unclaimed.keep(session, case, part.payment_key, part.amount, world.clock())
        if proved and await ledger.post(session, entries, world.clock()):
            await refunds.give_back(session, part.payment_id, part.amount)
        return entries

    plan = payment_plans.refund(world, case, part)
    return Subject(part.payment_key, part.amount, part.payee, (plan,), alternative)


def _to_account(world: World, asked: PayConsumer) -> Subject:
    """J62 for what stood in place of a refund; unclaimed money stays where it is."""

    async def alternative(session: AsyncSession, proved: bool) -> Sequence[JournalEntry]:
        if asked.unclaimed:
            return ()
        await unclaimed.keep(session, asked.case, asked.of, asked.amount, world.clock())
        return made(refund_unclaimed(asked.case, asked.amount, part=asked.of))

    plans = (payment_plans.to_account(world, asked),)
    return Subject(asked.key, asked.amount, asked.account_ref, plans, alternative)


def _advance(world: World, case: CaseRef, plan: IndemnityPlan, batch: str) -> Subject:
    """The merchant's money stays on P2000, and its leg goes back to where the normal settlement finds it."""

    async def alternative(session: AsyncSession, proved: bool) -> Sequence[JournalEntry]:
        await settlement.dissolve_advance(session, plan.claim_ref, world.clock())
        return ()

    plans = (payment_plans.advance(world, case, plan, batch),)
    return Subject(plan.advance_key, plan.amount, plan.payee, plans, alternative)


def _funding(world: World, case: CaseRef, plan: IndemnityPlan) -> Subject:
    """The insurer still owes it: the receivable (P1120) stays open for people."""

    async def alternative(session: AsyncSession, proved: bool) -> Sequence[JournalEntry]:
        return ()

    plans = (insurer_plans.fund(world, case, plan),)
    return Subject(plan.funding_key, plan.amount, insurer_plans.PLATFORM, plans, alternative)


def _freight(world: World, case: CaseRef, claim: FreightClaim, rows: Sequence[EffectRow]) -> Subject:
    """J33, and J11 taken back first where it was posted."""
    paying = next((row for row in rows if row.key == claim.payment_key), None)
    self_ship = claim.payee.startswith("consumer:") if paying is None else bool(paying.request["self_ship"])
    plans = (
        insurer_plans.reserve_freight(world, case, claim),
        insurer_plans.approve_freight(world, case, claim),
        insurer_plans.pay_freight(world, case, claim, self_ship=self_ship),
    )
    approved = made(rfi_approved(case, claim.amount, claim_ref=claim.claim_ref))
    alternative = _release(world, case, claim, approved)
    return Subject(claim.payment_key, claim.amount, claim.payee, plans, alternative, (case, claim.claim_ref))


def _loss(world: World, case: CaseRef, plan: IndemnityPlan) -> Subject:
    """J33. An approval that was posted (J31) is a success and never comes here."""
    plans = (insurer_plans.reserve_loss(world, case, plan), insurer_plans.approve_loss(world, case, plan))
    approved = made(rdv_approved(case, plan.amount, claim_ref=plan.claim_ref))
    return Subject(
        plan.claim_ref, plan.amount, plan.payee, plans, _release(world, case, plan, approved), (case, plan.claim_ref)
    )


def _release(
    world: World, case: CaseRef, claim: FreightClaim | IndemnityPlan, approved: Sequence[JournalEntry]
) -> Alternative:
    async def alternative(session: AsyncSession, proved: bool) -> Sequence[JournalEntry]:
        """Only what was posted is taken back: nothing was reserved where the claim was never taken."""
        reserved = await get(session, insurer_plans.reserve_key(claim.claim_ref))
        decided = await get(session, insurer_plans.approve_key(claim.claim_ref))
        row = await claims.need(session, claim.claim_ref)
        over, reserve = row.state in OVER, Money(minor=claims.reserve_of(row), currency=row.currency)
        await claims.give_up(session, claim.claim_ref, "claim_denied" if proved else GIVEN_UP, world.clock())
        if over or reserved is None or reserved.state != Outcome.SUCCEEDED:
            return ()
        back: list[JournalEntry] = []
        if decided is not None and decided.state == Outcome.SUCCEEDED:
            back += [reversal(one) for one in approved]
        return (*back, *insurer_plans.released(case, claim.claim_ref, reserve))

    return alternative
