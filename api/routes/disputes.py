"""Evidence of a return, rulings on it, and appeals against them. Domain 4.5, X8, X14, X15."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends

from activities.contract import Judgement
from api.auth import Identity, MerchantQuery, allowed
from api.evidence import check_evidence, keep, tell_corrections
from api.openapi import PHOTO, documented
from api.routes.returns import READERS
from api.services import Given, Services
from api.views import View
from backhaul.client import ReturnClosed
from backhaul.corrections import CorrectionEvent, CorrectionKind, appeal_event
from backhaul.disputes import LodgeAppeal
from backhaul.errors import Refusal
from backhaul.facts import Party, Token
from backhaul.ids import CaseId
from backhaul.messages import Appeal, CreateAppeal, EvidenceList, Ruling, SubmitEvidence
from backhaul.names import Role, Update
from store import authority, cases, evidence
from store.tables import CaseRow
from worker.corrections import correct

router = APIRouter(tags=["disputes"])

SIDES = (Role.CONSUMER, Role.MERCHANT)
CORRECTION = "correction"


class RulingList(View):
    """Every ruling on a return, in the order made."""

    rulings: tuple[Ruling, ...]


@router.post(
    "/v1/returns/{rma_id}/evidence",
    status_code=201,
    summary="Give evidence",
    **documented(SIDES, "not_found", "too_many_messages", "no_answer", "unavailable", example={"evidence": [PHOTO]}),
)
async def post_evidence(
    rma_id: Token,
    said: SubmitEvidence,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*SIDES))],
    merchant_id: MerchantQuery = None,
) -> EvidenceList:
    """Keep evidence by reference and hash, under the token's identity. In a dispute this side is then heard."""
    case = CaseId(caller.merchant(merchant_id), rma_id)
    check_evidence(caller.role, said)
    said = await keep(given, caller, case, said)
    try:
        await given.backhaul.report(case.merchant_id, rma_id, Update.SUBMIT_EVIDENCE, said)
    except ReturnClosed:
        await tell_corrections(given, case, said)
    return await _evidence(given, case)


@router.get("/v1/returns/{rma_id}/evidence", summary="All evidence of a return", **documented(READERS, "not_found"))
async def get_evidence(
    rma_id: Token,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*READERS))],
    merchant_id: MerchantQuery = None,
) -> EvidenceList:
    """Of the request, the door, the receipt and the parties, in the order received; also when the case is closed."""
    return await _evidence(given, CaseId(caller.merchant(merchant_id), rma_id))


async def _evidence(given: Services, case: CaseId) -> EvidenceList:
    async with given.store.read() as session:
        await cases.need(session, case.key)
        return EvidenceList(evidence=await evidence.of_case(session, case.key))


@router.get("/v1/returns/{rma_id}/rulings", summary="All rulings on a return", **documented(READERS, "not_found"))
async def get_rulings(
    rma_id: Token,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*READERS))],
    merchant_id: MerchantQuery = None,
) -> RulingList:
    """Who ruled what, on which facts and policy book, and which ruling it overrules."""
    case = CaseId(caller.merchant(merchant_id), rma_id)
    async with given.store.read() as session:
        await cases.need(session, case.key)
        return RulingList(rulings=await authority.rulings_of(session, case.key))


@router.post(
    "/v1/returns/{rma_id}/appeals",
    status_code=201,
    summary="Appeal against a ruling",
    **documented(
        SIDES,
        "not_found", "ruling_unknown", "ruling_mismatch", "not_appealable", "appealed_before", "appeal_late",
        "no_answer", "unavailable",
        example={"ruling_id": "rul-1", "reason": "the photos are of another coat"},
    ),
)  # fmt: skip
async def post_appeal(
    rma_id: Token,
    request: CreateAppeal,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*SIDES))],
    merchant_id: MerchantQuery = None,
) -> Appeal:
    """Another reviewer rules once more: within 7 days of the notice of the ruling on liability, once (X15). `how` says
    what happens: `dispute` (heard now), `kept` (money has left on the ruling: a correction after the close),
    `correction` (the case is closed). The same appeal again is the same appeal."""
    case = CaseId(caller.merchant(merchant_id), rma_id)
    async with given.store.transaction() as session:
        row = await cases.need(session, case.key)
        appeal = await authority.create_appeal(
            session, case.key, request, Party(caller.role.value), caller.name, given.now(), _within(row)
        )
    if appeal.how:
        return appeal
    try:
        how = await _lodge(given, case, appeal, request)
    except Refusal:
        async with given.store.transaction() as session:
            await authority.drop_appeal(session, request.ruling_id)
        raise
    async with given.store.transaction() as session:
        await authority.appeal_goes(session, request.ruling_id, how)
    return appeal.model_copy(update={"how": how})


async def _lodge(given: Services, case: CaseId, appeal: Appeal, request: CreateAppeal) -> str:
    """An open case hears it, or keeps it until its close; a closed one is corrected."""
    said = LodgeAppeal(appeal_id=appeal.appeal_id, ruling_id=appeal.ruling_id, by=appeal.by, reason=request.reason)
    try:
        return (await given.backhaul.appeal(case.merchant_id, case.rma_id, said)).note
    except ReturnClosed:
        async with given.store.read() as session:
            await authority.need_standing(session, case.key, appeal.ruling_id)
        event = CorrectionEvent(
            event_id=appeal_event(appeal.ruling_id),
            occurred_at=appeal.at,
            by=appeal.by,
            ruling_id=appeal.ruling_id,
            reason=request.reason[:300],
        )
        await correct(given.store, given.backhaul, case.key, CorrectionKind.APPEAL, event, given.now())
        return CORRECTION


def _within(row: CaseRow) -> timedelta:
    """How long an appeal is possible: by the book of the case, kept with its judgement."""
    if row.judgement is None:
        raise Refusal("not_appealable", field="ruling_id")
    return timedelta(seconds=Judgement.model_validate(row.judgement).terms.appeal_s)
