"""What a loss comes to and what RDV pays for it, at the door and at the settlement. Domain 4.3, 4.5."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from activities.contract import IndemnityPlan
from activities.steps.desk import Desk, Work, id_of
from backhaul.errors import Rejected
from backhaul.facts import CaseFacts, CoverFacts, CoverKind, Liable, LineFinding
from backhaul.ids import claim_ref, payment_key
from backhaul.messages import Ruling
from backhaul.money import Money
from backhaul.policy import settling
from backhaul.policy.indemnity import payout_authority
from backhaul.policy.settling import PAID_FOR, Liability, Loss, ruled_liability, with_remaining
from store import authority, claims
from store.tables import ClaimRow

LOSS = "loss"

__all__ = [
    "LOSS",
    "PAID_FOR",
    "Liability",
    "Loss",
    "in_force",
    "loss_claims",
    "loss_of",
    "plan_indemnity",
    "read_ruling",
    "ruled",
]


async def read_ruling(work: Work, ruling_id: str) -> tuple[Liable, Ruling]:
    """A ruling on liability for this case. Raises Rejected(`ruling_unknown`, `ruling_mismatch`)."""
    ruling = await authority.find_ruling(work.session, ruling_id, work.key)
    known = {who.value for who in Liable} - {Liable.UNDETERMINED.value}
    if ruling.outcome not in known:
        raise Rejected("ruling_mismatch", f"ruling {ruling_id} does not say who is liable", field="ruling_id")
    return Liable(ruling.outcome), ruling


def ruled(liable: Liable, ruling: Ruling, stands: tuple[LineFinding, ...], *, lost: bool = False) -> Liability:
    """Who is liable by a ruling, for what it names; for what `stands` where it names nothing."""
    findings = stands if ruling.findings is None else ruling.findings
    return ruled_liability(liable, findings, ruling.shares, lost=lost)


def loss_of(desk: Desk, work: Work, facts: CaseFacts, found: Liability, in_use: Money | None = None) -> Loss:
    """The loss of a finding, or of a lost parcel. `in_use`: what claims of this case hold of the cover already."""
    book = desk.book_of_cover(facts, CoverKind.RDV, work.book)
    if in_use is not None:
        facts = with_remaining(facts, CoverKind.RDV, in_use)
    return settling.loss_of(facts, found, book)


async def loss_claims(work: Work) -> tuple[ClaimRow, ...]:
    """The case's claims under RDV."""
    return tuple(row for row in await claims.of_case(work.session, work.key) if row.kind == LOSS)


def in_force(rows: Iterable[ClaimRow]) -> tuple[ClaimRow, ...]:
    """Claims that were not denied."""
    return tuple(row for row in rows if row.state in claims.ORDER)


async def plan_indemnity(
    desk: Desk,
    work: Work,
    facts: CaseFacts,
    cover: CoverFacts,
    amount: Money,
    before: Sequence[ClaimRow],
    appeal_of: str | None = None,
) -> IndemnityPlan:
    """Take the amount of the cover and name the claim, its keys and its payee.

    Above the authority limit, summed per case and payee, a second person approves the payout (domain 4.3)."""
    case = id_of(work.case)
    ref = claim_ref(case, LOSS, len(before) + 1)
    payee = work.case.merchant_id
    paid_before = sum(claims.stands(row) for row in in_force(before) if row.payee == payee)
    book = desk.book_of_cover(facts, CoverKind.RDV, work.book)
    authority_verdict = payout_authority(facts, amount, Money(minor=paid_before, currency=amount.currency), book)
    await work.say(authority_verdict)
    second_person = authority_verdict.outcome == "second_person"
    await claims.plan(
        work.session,
        ref,
        LOSS,
        cover.coverage_id,
        work.key,
        amount,
        payee,
        appeal_of=appeal_of,
        second_person=second_person,
        at=work.at,
    )
    return IndemnityPlan(
        claim_ref=ref,
        coverage_id=cover.coverage_id,
        amount=amount,
        payee=payee,
        advance_key=payment_key(case, f"advance.{ref}"),
        funding_key=payment_key(case, f"funding.{ref}"),
        approval_needed=second_person,
    )
