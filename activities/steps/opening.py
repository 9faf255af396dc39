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
from backhaul.facts import CaseFacts, CoverKind, Method, Party, Risk
from backhaul.ids import CaseId
from backhaul.ledger import CaseRef
from backhaul.messages import OpenReturn
from backhaul.money import Money
from backhaul.policy.book import PolicyBook
from backhaul.policy.judging import judged
from backhaul.policy.terms import terms_of
from store import cases, evidence, orders, profiles
from store.orders import OrderBundle
from store.tables import CaseRow

STEP = "judge_case"
_STAGES = {
    "authorized": (Stage.PICKUP, Party.COURIER),
    "merchant_review": (Stage.AUTHORIZING, Party.MERCHANT),
    "info_requested": (Stage.AUTHORIZING, Party.CONSUMER),
    "referred": (Stage.AUTHORIZING, Party.OPERATOR),
    "declined": (Stage.CLOSING, Party.PLATFORM),
}
"""Where a judged case goes on, for lists, and on whom it waits there."""


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
    """What the rules say of the request (backhaul.policy.judging), as the case keeps it."""
    said = judged(facts, book, zone)
    return Judgement(
        case=case,
        outcome=said.outcome,
        reasons=said.decisive.reasons,
        text=said.decisive.text,
        paid=_paid(facts, facts.lines[0].paid.currency),
        refundable=said.refundable,
        rfi=said.risk is not Risk.DENY and facts.cover(CoverKind.RFI) is not None,
        rdv=said.risk is not Risk.DENY and facts.cover(CoverKind.RDV) is not None,
        may_decline=said.may_decline,
        offer=said.offer,
        platform=said.platform,
        risk=said.risk,
        book=book.ref,
        terms=terms_of(book),
        verdicts=said.verdicts,
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
        waiting_on=waiting_on.value,
        judgement=judgement.model_dump(mode="json"),
        refundable_minor=judgement.refundable.minor,
        currency=judgement.refundable.currency,
        opened_at=at,
        updated_at=at,
    )
