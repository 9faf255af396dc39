"""judge_case: read the facts once, judge the request, keep both. Domain 4.1, 4.6."""

from __future__ import annotations

from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import JudgeCase, Judgement
from activities.steps.desk import Desk, Work, finish
from activities.steps.facts import facts_of_request
from activities.steps.reopening import reopened
from backhaul.case import Stage
from backhaul.errors import Refusal
from backhaul.facts import CaseFacts, CoverKind, Method, Party, Risk, Verdict
from backhaul.ids import CaseId
from backhaul.ledger import CaseRef
from backhaul.messages import OpenReturn
from backhaul.money import Money
from backhaul.policy.authorization import authorization, may_decline
from backhaul.policy.book import PolicyBook
from backhaul.policy.eligibility import eligibility
from backhaul.policy.freight import chargeable_g, freight_amount
from backhaul.policy.offer import retention_offer
from backhaul.policy.refund_only import refund_only
from backhaul.policy.refunds import refund_value
from backhaul.policy.risk import risk, under_risk
from backhaul.policy.terms import terms_of
from backhaul.policy.windows import is_shipped, is_signed
from store import cases, evidence, orders, profiles
from store.orders import OrderBundle
from store.tables import CaseRow

STEP = "judge_case"
_STAGES = {
    "authorized": (Stage.PICKUP, Party.COURIER),
    "merchant_review": (Stage.AUTHORIZING, Party.MERCHANT),
    "info_requested": (Stage.AUTHORIZING, Party.CONSUMER),
    "referred": (Stage.AUTHORIZING, Party.OPERATOR),
    "declined": (Stage.CLOSING, None),
}
"""Where a judged case goes on, for lists, and on whom it waits there."""
_OUTCOMES = {
    "auto": "authorized",
    "merchant": "merchant_review",
    "info": "info_requested",
    "refer": "referred",
}
_RISKY = {"refer": "referred", "deny": "declined"}
"""Money without goods is no right of the statute: the risk rules may refuse it (X29)."""
_REFUND_ONLY = {"yes": "authorized", "merchant": "merchant_review", "platform": "merchant_review", "no": "declined"}


async def judge(desk: Desk, argument: JudgeCase) -> Judgement:
    """Judge once; the same request again gets the same judgement, another one under its id is refused."""

    async def transaction(session: AsyncSession) -> Judgement:
        request = argument.request
        bundle = await orders.lock(session, request.order_id)
        if bundle.order.merchant_id != request.merchant_id:
            raise Refusal("order_unknown", "the merchant has no such order", field="order_id")
        key = CaseId(request.merchant_id, request.rma_id).key
        known = await cases.get(session, key)
        if known is not None:
            if known.request_hash != argument.request_hash:
                raise Refusal("return_conflict", field="rma_id")
            done = await cases.recorded(session, key, STEP, Judgement)
            if done is not None:
                return done
        return await _open(desk, session, bundle, key, argument)

    return await desk.store.run(transaction)


async def _open(desk: Desk, session: AsyncSession, bundle: OrderBundle, key: str, argument: JudgeCase) -> Judgement:
    request, at = argument.request, argument.requested_at
    book = desk.book_for(at)
    known = None
    if book.risk is not None:
        since = at - book.risk.window
        known = await profiles.profile(session, bundle.consumer.consumer_ref, request.address_ref, since, at)
    facts = facts_of_request(request, bundle, at, known)
    reopens = await reopened(session, request, book.authorization.max_reopens)
    case = CaseRef(
        merchant_id=request.merchant_id,
        order_id=request.order_id,
        rma_id=request.rma_id,
        consumer_ref=bundle.consumer.consumer_ref,
    )
    work = Work(session, bundle, case, key, at, book)
    judgement = judge_facts(case, facts, book, request.zone)
    work.verdicts += judgement.verdicts
    await cases.insert(session, _row(argument, judgement, key, at, reopens), _units(request))
    if judgement.outcome == "declined":
        # What does not come back stands in nobody's way.
        await cases.release_units(session, key)
    await cases.store_facts(session, key, STEP, facts)
    await evidence.keep(session, key, request.evidence, evidence.REQUEST, at)
    await finish(work, STEP, argument, judgement)
    return judgement


def judge_facts(case: CaseRef, facts: CaseFacts, book: PolicyBook, zone: str | None = None) -> Judgement:
    """Eligible? If so: who says yes, and may the merchant say no? Is something offered for keeping the goods?"""
    first = eligibility(facts, book)
    if not facts.remedy.is_return:
        return _judge_refund_only(case, facts, book, first)
    if not first.yes:
        return _judgement(case, facts, book, "declined", (first,))
    scored = risk(facts, book)
    decisive, declinable = authorization(facts, book, Risk(scored.outcome)), may_decline(facts, book)
    verdicts: tuple[Verdict, ...] = (first, scored, decisive, declinable)
    outcome, offer = _OUTCOMES[decisive.outcome], None
    if facts.merchant.offers:
        result = retention_offer(facts, freight_amount(chargeable_g(facts.lines, book), zone, book), book)
        verdicts += (result.verdict,)
        offer = result.amount if result.verdict.yes else None
    judged = _judgement(case, facts, book, outcome, verdicts, decisive)
    return judged.model_copy(update={"may_decline": declinable.outcome != "no", "offer": offer})


def _judge_refund_only(case: CaseRef, facts: CaseFacts, book: PolicyBook, first: Verdict) -> Judgement:
    """X29: not shipped, at once; under way, no; received, the merchant decides, unless the risk rules do."""
    rule = refund_only(facts, is_shipped(facts), is_signed(facts), book)
    if rule.outcome == "no" or not first.yes:
        decisive = first if rule.outcome != "no" else rule
        return _judgement(case, facts, book, "declined", (first, rule), decisive)
    if rule.outcome != "yes":
        scored = risk(facts, book)
        if scored.outcome in _RISKY:
            return _judgement(case, facts, book, _RISKY[scored.outcome], (first, rule, scored), scored)
    judged = _judgement(case, facts, book, _REFUND_ONLY[rule.outcome], (first, rule), rule)
    return judged.model_copy(update={"may_decline": True, "platform": rule.outcome == "platform"})


def _judgement(
    case: CaseRef,
    facts: CaseFacts,
    book: PolicyBook,
    outcome: str,
    verdicts: tuple[Verdict, ...],
    decisive: Verdict | None = None,
) -> Judgement:
    decisive = decisive or verdicts[0]
    scored = next((Risk(one.outcome) for one in verdicts if one.decision == "risk"), facts.consumer.risk)
    facts = under_risk(facts, scored)
    currency = facts.lines[0].paid.currency
    return Judgement(
        case=case,
        outcome=outcome,
        reasons=decisive.reasons,
        text=decisive.text,
        paid=_paid(facts, currency),
        refundable=refund_value(facts).total if verdicts[0].yes else Money.zero(currency),
        rfi=facts.cover(CoverKind.RFI) is not None,
        rdv=facts.cover(CoverKind.RDV) is not None,
        may_decline=True,
        risk=scored,
        book=book.ref,
        terms=terms_of(book),
        verdicts=verdicts,
    )


def _paid(facts: CaseFacts, currency: str) -> Money:
    lines = {line.line_id: line.paid for line in facts.lines}
    return Money.sum(lines.values(), currency)


def _units(request: OpenReturn) -> list[tuple[str, int]]:
    units: dict[str, int] = {}
    for line in request.lines:
        units[line.line_id] = units.get(line.line_id, 0) + line.quantity
    return list(units.items())


def _row(argument: JudgeCase, judgement: Judgement, key: str, at: datetime, reopens: str | None) -> CaseRow:
    case = judgement.case
    stage, waiting_on = _STAGES[judgement.outcome]
    if judgement.outcome == "authorized" and not argument.request.remedy.is_return:
        stage, waiting_on = Stage.REFUNDING, Party.PSP
    elif judgement.outcome == "authorized" and judgement.offer is not None:
        stage, waiting_on = Stage.RETAINING, Party.CONSUMER
    elif waiting_on is Party.COURIER and argument.request.method is Method.SELF_SHIP:
        waiting_on = Party.CONSUMER
    return CaseRow(
        case_key=key,
        merchant_id=case.merchant_id,
        rma_id=case.rma_id,
        order_id=case.order_id,
        consumer_ref=case.consumer_ref,
        address_ref=argument.request.address_ref,
        workflow_id=argument.workflow_id,
        request=argument.request.model_dump(mode="json"),
        request_hash=argument.request_hash,
        reopens=reopens,
        book_version=judgement.book.version,
        book_hash=judgement.book.hash,
        stage=stage.value,
        waiting_on=waiting_on.value if waiting_on else None,
        judgement=judgement.model_dump(mode="json"),
        refundable_minor=judgement.refundable.minor,
        currency=judgement.refundable.currency,
        opened_at=at,
        updated_at=at,
    )
