"""Opening returns, listing them, looking at one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from api import corrections, idempotency
from api.auth import Identity, MerchantQuery, allowed
from api.idempotency import Key
from api.openapi import documented
from api.services import Given, Services
from api.views import CaseList, first_decision_of, status_of, summary_of
from backhaul.client import ReturnClosed, request_hash
from backhaul.errors import BackhaulError, Refusal
from backhaul.facts import Token
from backhaul.ids import CaseId
from backhaul.messages import CaseStatus, Explanation, FirstDecision, OpenReturn
from backhaul.names import Role
from store import cases
from store.cases import CaseFilter
from store.idempotency import remember
from store.tables import CaseRow

router = APIRouter(tags=["returns"])

LISTERS = (Role.SERVICE, Role.MERCHANT, Role.OPERATOR, Role.APPROVER, Role.AUDITOR)
READERS = (*LISTERS, Role.CONSUMER)
SOURCE = "Backhaul-Source"
"""Response header: `case` (the running case answered) or `read-model` (the database did)."""
SOURCE_HEADER: dict[int | str, dict[str, Any]] = {
    200: {"headers": {SOURCE: {"description": "case or read-model", "schema": {"type": "string"}}}}
}


@router.post(
    "/v1/returns",
    status_code=201,
    summary="Open a return",
    **documented(
        (Role.SERVICE,),
        "idempotency_key_required", "idempotency_mismatch", "order_unknown", "line_unknown", "return_conflict",
        "reopen_unknown", "reopen_not_expired", "reopen_mismatch", "reopen_limit", "return_closed", "no_answer",
        "unavailable",
        also={200: {"model": FirstDecision, "description": "the same return was open already"}},
    ),
)  # fmt: skip
async def post_return(
    request: OpenReturn,
    given: Given,
    response: Response,
    caller: Annotated[Identity, Depends(allowed(Role.SERVICE))],
    key: Key = None,
) -> FirstDecision:
    """Open one return case and get its first decision in the same call. The same body again is the same case."""
    key = idempotency.checked(key)
    caller.may_act_for(request.merchant_id)
    await _take_key(given, key, request)
    row = await _row(given, CaseId(request.merchant_id, request.rma_id))
    decision = await _open(given, request, row)
    response.status_code = 201 if row is None else 200
    return decision


async def _take_key(given: Services, key: str, request: OpenReturn) -> None:
    """Bind the key to this body, before anything happens under it. Which answer it gets, the case itself remembers.

    Raises Refusal(`idempotency_mismatch`) for another body, also while the first is still under way."""
    scope, hash_ = f"open:{request.merchant_id}", request_hash(request)
    names = {"rma_id": request.rma_id}
    try:
        await given.store.run(lambda session: remember(session, scope, key, hash_, 201, names, given.now()))
    except Refusal as refusal:
        raise Refusal(refusal.code, field="Idempotency-Key") from refusal


async def _open(given: Services, request: OpenReturn, row: CaseRow | None) -> FirstDecision:
    """Open through Temporal; a case that is closed, or past retention, answers from the read model."""
    if row is not None and row.request_hash != request_hash(request):
        raise Refusal("return_conflict", field="rma_id")
    known = None if row is None else first_decision_of(row)
    if row is not None and row.closed_at is not None and known is not None:
        return known
    try:
        return await given.backhaul.open(request)
    except ReturnClosed:
        if known is None:
            raise
        return known


@router.get("/v1/returns", summary="List returns", **documented(LISTERS, "not_found", "store_busy"))
async def list_returns(
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*LISTERS))],
    merchant_id: MerchantQuery = None,
    order_id: Annotated[Token | None, Query()] = None,
    stage: Annotated[str | None, Query(max_length=30)] = None,
    parked: Annotated[bool | None, Query(description="only those that need a human, or only the others")] = None,
    closed: Annotated[bool | None, Query()] = None,
    after: Annotated[str | None, Query(max_length=300, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> CaseList:
    """From the read model, newest first. A token of a merchant sees that merchant's only; others may ask for all."""
    merchant = merchant_id if caller.merchant_id is None else caller.merchant(merchant_id)
    wanted = CaseFilter(merchant_id=merchant, order_id=order_id, stage=stage, parked=parked, closed=closed)
    async with given.store.read() as session:
        page = await cases.list_cases(session, wanted, after, limit)
    return CaseList(cases=tuple(summary_of(row) for row in page.cases), next=page.next)


@router.get(
    "/v1/returns/{rma_id}",
    summary="Look at one return",
    **documented(READERS, "not_found", "unavailable", "no_answer", also=SOURCE_HEADER),
)
async def get_return(
    rma_id: Token,
    given: Given,
    response: Response,
    caller: Annotated[Identity, Depends(allowed(*READERS))],
    merchant_id: MerchantQuery = None,
) -> CaseStatus:
    """The one typed view: stage, waiting on, due, attention, money, allowed actions with reasons, last events."""
    case = CaseId(caller.merchant(merchant_id), rma_id)
    row = await _row(given, case)
    if row is None or row.closed_at is None:
        try:
            status = await given.backhaul.status(*case)
        except BackhaulError:
            if row is None:
                raise
        else:
            response.headers[SOURCE] = "case"
            return status
    response.headers[SOURCE] = "read-model"
    return status_of(row, await corrections.of_case(given.store, row))


@router.get(
    "/v1/returns/{rma_id}/explain",
    summary="Why the case went as it did",
    **documented(READERS, "not_found", "unavailable", "no_answer", also=SOURCE_HEADER),
)
async def get_explanation(
    rma_id: Token,
    given: Given,
    response: Response,
    caller: Annotated[Identity, Depends(allowed(*READERS))],
    merchant_id: MerchantQuery = None,
) -> Explanation:
    """Every decision: rule ids, numbers, reason codes, policy version, in English and Chinese.

    From the database, where each decision is kept in the transaction of its facts."""
    case = CaseId(caller.merchant(merchant_id), rma_id)
    if await _row(given, case) is None:
        explanation = await given.backhaul.explain(*case)
        response.headers[SOURCE] = "case"
        return explanation
    async with given.store.read() as session:
        kept = await cases.explanation(session, case.key)
    response.headers[SOURCE] = "read-model"
    return kept


async def _row(given: Services, case: CaseId) -> CaseRow | None:
    async with given.store.read() as session:
        return await cases.get(session, case.key)
