"""judge_case: read the facts once, judge the request, keep both. Domain 4.1, 4.6."""

from __future__ import annotations

from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import JudgeCase, Judgement
from activities.steps.desk import Desk, Work, finish
from activities.steps.facts import facts_of_request
from backhaul.case import Stage
from backhaul.errors import Refusal
from backhaul.facts import CaseFacts, CoverKind, Method, Party, Verdict
from backhaul.ids import CaseId
from backhaul.ledger import CaseRef
from backhaul.messages import OpenReturn
from backhaul.money import Money
from backhaul.policy.authorization import authorization, may_decline
from backhaul.policy.book import PolicyBook
from backhaul.policy.eligibility import eligibility
from backhaul.policy.refunds import refund_value
from backhaul.policy.terms import terms_of
from store import cases, orders
from store.orders import OrderBundle
from store.tables import CaseRow

STEP = "judge_case"
_STAGES = {
    "authorized": (Stage.PICKUP, Party.COURIER),
    "merchant_review": (Stage.AUTHORIZING, Party.MERCHANT),
    "referred": (Stage.AUTHORIZING, Party.OPERATOR),
    "declined": (Stage.CLOSING, None),
}
"""Where a judged case goes on, for lists, and on whom it waits there."""
_OUTCOMES = {"auto": "authorized", "merchant": "merchant_review", "refer": "referred", "deny": "declined"}


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
    facts = facts_of_request(request, bundle, at)
    book = desk.book_for(at)
    case = CaseRef(
        merchant_id=request.merchant_id,
        order_id=request.order_id,
        rma_id=request.rma_id,
        consumer_ref=bundle.consumer.consumer_ref,
    )
    work = Work(session, bundle, case, key, at, book)
    judgement = judge_facts(case, facts, book)
    work.verdicts += judgement.verdicts
    await cases.insert(session, _row(argument, judgement, key, at), _units(request))
    if judgement.outcome == "declined":
        # What does not come back stands in nobody's way.
        await cases.release_units(session, key)
    await cases.store_facts(session, key, STEP, facts)
    await finish(work, STEP, argument, judgement)
    return judgement


def judge_facts(case: CaseRef, facts: CaseFacts, book: PolicyBook) -> Judgement:
    """Eligible? If so: who says yes, and may the merchant say no?"""
    first = eligibility(facts, book)
    verdicts: tuple[Verdict, ...] = (first,)
    currency = facts.lines[0].paid.currency
    refundable, outcome, decisive = Money.zero(currency), "declined", first
    statute = False
    if first.yes:
        decisive, declinable = authorization(facts, book), may_decline(facts, book)
        verdicts += (decisive, declinable)
        outcome, statute = _OUTCOMES[decisive.outcome], declinable.outcome == "no"
        refundable = refund_value(facts).total
    return Judgement(
        case=case,
        outcome=outcome,
        reasons=decisive.reasons,
        text=decisive.text,
        paid=_paid(facts, currency),
        refundable=refundable,
        rfi=facts.cover(CoverKind.RFI) is not None,
        rdv=facts.cover(CoverKind.RDV) is not None,
        may_decline=not statute,
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


def _row(argument: JudgeCase, judgement: Judgement, key: str, at: datetime) -> CaseRow:
    case = judgement.case
    stage, waiting_on = _STAGES[judgement.outcome]
    if waiting_on is Party.COURIER and argument.request.method is Method.SELF_SHIP:
        waiting_on = Party.CONSUMER
    return CaseRow(
        case_key=key,
        merchant_id=case.merchant_id,
        rma_id=case.rma_id,
        order_id=case.order_id,
        consumer_ref=case.consumer_ref,
        workflow_id=argument.workflow_id,
        request=argument.request.model_dump(mode="json"),
        request_hash=argument.request_hash,
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
