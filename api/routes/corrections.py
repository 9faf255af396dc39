"""Corrections of closed cases: what came up after the close, and the updates that their stories take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel

from api import corrections
from api.auth import Identity, MerchantQuery, allowed
from api.evidence import check_evidence, keep
from api.idempotency import Key
from api.openapi import EXAMPLES, documented
from api.routes.returns import READERS
from api.routes.updates import ALL, CODES_OF, update_id
from api.services import Given
from api.views import View
from backhaul.errors import Refusal
from backhaul.facts import Token
from backhaul.ids import CaseId
from backhaul.messages import Ack, ClaimRefund, CorrectionStatus, SubmitEvidence
from backhaul.names import UPDATE_DESCRIPTIONS, Role, Update, roles_of
from backhaul.schemas import UPDATE_PAYLOADS
from store import cases
from worker.corrections import claim

router = APIRouter(tags=["corrections"])

TAKEN = (
    Update.PROVIDE_ACCOUNT,
    Update.SUBMIT_EVIDENCE,
    Update.CONFIRM_RECEIPT,
    Update.REPORT_RECEIPT_ISSUE,
    Update.REPORT_TRACKING,
    Update.RETRY_STEP,
    Update.SKIP_STEP,
    Update.EXTEND_DEADLINE,
    Update.APPLY_RULING,
    Update.APPLY_APPROVAL,
    Update.CLOSE_CASE,
)
"""Updates that a correction takes; each as a return takes it."""
CLAIMERS = (Role.CONSUMER, Role.OPERATOR)
Number = Annotated[int, Path(ge=1, le=10_000, description="the correction's number within the return")]


class CorrectionList(View):
    """A return's corrections in the order opened."""

    corrections: tuple[CorrectionStatus, ...]


@router.get(
    "/v1/returns/{rma_id}/corrections", summary="What came up after the close", **documented(READERS, "not_found")
)
async def list_corrections(
    rma_id: Token,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*READERS))],
    merchant_id: MerchantQuery = None,
) -> CorrectionList:
    """Every correction of the return; those that are open say what they wait for, where a worker can answer."""
    case = CaseId(caller.merchant(merchant_id), rma_id)
    async with given.store.read() as session:
        row = await cases.get(session, case.key)
    if row is None:
        raise Refusal("not_found")
    return CorrectionList(corrections=await corrections.of_case(given.store, row, given.backhaul))


@router.post(
    "/v1/returns/{rma_id}/corrections/refund_claimed",
    status_code=202,
    summary="Claim unclaimed money",
    **documented(CLAIMERS, "not_found", "return_open", "nothing_unclaimed", "no_answer", "unavailable", "store_busy"),
)
async def post_claim(
    rma_id: Token,
    request: ClaimRefund,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*CLAIMERS))],
    merchant_id: MerchantQuery = None,
) -> CorrectionStatus:
    """Pay everything that waits for the consumer on this closed return to an account they name, by a correction of its
    own. While one does that, it is the answer: the same money is never claimed twice."""
    case = CaseId(caller.merchant(merchant_id), rma_id)
    row = await claim(given.store, given.backhaul, case.key, request, given.now())
    return await corrections.asked(given.backhaul, row)


def _route(update: Update) -> Callable[..., Awaitable[Ack]]:
    """The endpoint of one update. Its body's type is set below, as it differs from route to route."""

    async def send(
        rma_id: Token,
        n: Number,
        payload: BaseModel,
        given: Given,
        caller: Annotated[Identity, Depends(allowed(*roles_of(update)))],
        merchant_id: MerchantQuery = None,
        key: Key = None,
    ) -> Ack:
        case = CaseId(caller.merchant(merchant_id), rma_id)
        check_evidence(caller.role, payload)
        if isinstance(payload, SubmitEvidence):
            payload = await keep(given, caller, case, payload)
        return await given.backhaul.report_correction(case, n, update, payload, update_id(update, payload, key))

    send.__annotations__ = {
        **send.__annotations__,
        "payload": UPDATE_PAYLOADS[update],
        "caller": Annotated[Identity, Depends(allowed(*roles_of(update)))],
    }
    send.__name__ = f"correction_{update.value}"
    send.__doc__ = UPDATE_DESCRIPTIONS[update]
    return send


for _update in TAKEN:
    router.add_api_route(
        f"/v1/returns/{{rma_id}}/corrections/{{n}}/{_update.value}",
        _route(_update),
        methods=["POST"],
        response_model=Ack,
        operation_id=f"correction_{_update.value}",
        summary=f"{_update.value.replace('_', ' ').capitalize()}, in a correction",
        **documented(roles_of(_update), *CODES_OF.get(_update, ()), *ALL, example=EXAMPLES.get(_update)),
    )
