"""POST /v1/returns/{rma_id}/{update}: one route an update, each for the one role it belongs to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from api import idempotency
from api.auth import Identity, MerchantQuery, allowed, identity
from api.evidence import check_evidence, keep
from api.idempotency import Key
from api.openapi import EXAMPLES, documented
from api.services import Given
from backhaul.errors import Refusal
from backhaul.facts import Token
from backhaul.ids import CaseId
from backhaul.messages import Ack, PaymentReport, PickupReport, SubmitEvidence, TrackingReport
from backhaul.names import ROLE_OF, UPDATE_DESCRIPTIONS, Update, roles_of
from backhaul.schemas import UPDATE_PAYLOADS

router = APIRouter(tags=["updates"])

CODES_OF: dict[Update, tuple[str, ...]] = {
    Update.WITHDRAW: ("already_picked_up",),
    Update.ANSWER_OFFER: ("no_offer",),
    Update.ANSWER_FINDING: ("no_finding", "already_picked_up"),
    Update.PROVIDE_WAYBILL: ("not_self_ship",),
    Update.ESCALATE: ("not_declined",),
    Update.REQUEST_INFO: ("already_decided", "already_asked"),
    Update.AUTHORIZE: ("already_decided",),
    Update.DECLINE: ("already_decided", "statutory_return"),
    Update.CONFIRM_RECEIPT: ("not_delivered", "already_decided"),
    Update.REPORT_RECEIPT_ISSUE: ("not_delivered", "already_decided", "line_unknown"),
    Update.RETRY_STEP: ("not_parked",),
    Update.SKIP_STEP: ("not_parked", "proof_required", "proof_refused", "approval_unknown", "approval_mismatch"),
    Update.APPLY_RULING: ("ruling_unknown", "ruling_mismatch", "same_reviewer"),
    Update.APPLY_APPROVAL: ("approval_unknown", "approval_mismatch", "approval_used"),
    Update.CLOSE_CASE: ("not_parked", "money_under_way", "already_picked_up"),
}
"""Refusals of each update, beside those of all."""
ALL = ("not_found", "return_closed", "not_waiting", "too_many_messages", "no_answer", "unavailable")


def update_id(update: Update, payload: BaseModel, key: str | None) -> str | None:
    """A courier's event id, or the caller's key within this update: the same id again gets the first answer."""
    if isinstance(payload, PickupReport | TrackingReport | PaymentReport):
        return payload.event_id
    given = idempotency.optional(key)
    return None if given is None else f"{update.value}:{given}"


def _route(update: Update) -> Callable[..., Awaitable[Ack]]:
    """The endpoint of one update. Its body's type is set below, as it differs from route to route."""

    async def send(
        rma_id: Token,
        payload: BaseModel,
        given: Given,
        caller: Annotated[Identity, Depends(allowed(*roles_of(update)))],
        merchant_id: MerchantQuery = None,
        key: Key = None,
    ) -> Ack:
        merchant = caller.merchant(merchant_id)
        check_evidence(caller.role, payload)
        if isinstance(payload, SubmitEvidence):
            payload = await keep(given, caller, CaseId(merchant, rma_id), payload)
        return await given.backhaul.report(merchant, rma_id, update, payload, update_id(update, payload, key))

    payload_type: type[BaseModel] = UPDATE_PAYLOADS[update]
    send.__annotations__ = {
        **send.__annotations__,
        "payload": payload_type,
        "caller": Annotated[Identity, Depends(allowed(*roles_of(update)))],
    }
    send.__name__ = update.value
    send.__doc__ = UPDATE_DESCRIPTIONS[update]
    return send


for _update in ROLE_OF:
    router.add_api_route(
        f"/v1/returns/{{rma_id}}/{_update.value}",
        _route(_update),
        methods=["POST"],
        response_model=Ack,
        operation_id=_update.value,
        summary=_update.value.replace("_", " ").capitalize(),
        **documented(roles_of(_update), *CODES_OF.get(_update, ()), *ALL, example=EXAMPLES.get(_update)),
    )


@router.post("/v1/returns/{rma_id}/{update}", include_in_schema=False)
async def unknown_update(rma_id: str, update: str, _caller: Annotated[Identity, Depends(identity)]) -> None:
    """What is left: names that are no updates."""
    raise Refusal("unknown_update", field="update")
