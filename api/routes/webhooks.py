"""POST /v1/webhooks/{sender}: verify on the raw bytes, keep in the inbox, answer 202, then dispatch."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Path, Request

from api.problems import described
from api.services import Given
from api.views import View
from backhaul.errors import Refusal
from backhaul.facts import Token
from gateways.webhooks import read_any, verify
from store import inbox

log = structlog.get_logger(__name__)
router = APIRouter(tags=["webhooks"])


class Received(View):
    """Kept. `duplicate`: it was kept before; `parked`: its bytes are signed but do not fit the contract, so that
    a human looks at it and the sender need not send it again."""

    event_id: str
    duplicate: bool = False
    parked: bool = False


@router.post(
    "/v1/webhooks/{sender}",
    status_code=202,
    summary="Receive a courier's event",
    responses=described(
        "bad_signature", "unknown_sender", "event_conflict", "invalid_input", "payload_too_large", "store_busy",
        "internal_error",
    ),
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}, "required": True}},
)  # fmt: skip
async def post_webhook(
    sender: Annotated[Token, Path(description="the courier's name")], request: Request, given: Given
) -> Received:
    """A Standard Webhooks message (webhook-id, webhook-timestamp, webhook-signature). No token: the signature proves
    the sender. The same event again is answered alike; the same id with another body is refused and raises an alarm.
    """
    known = given.settings.webhook_senders.get(sender)
    if known is None:
        raise Refusal("unknown_sender", field="sender")
    raw = await request.body()
    event_id = verify(known.secret.get_secret_value(), request.headers, raw)
    trouble = _malformed(event_id, raw, known.adapter)
    try:
        duplicate = await _keep(given, sender, event_id, raw, trouble)
    except Refusal as refusal:
        log.error("webhook refused", sender=sender, event_id=event_id, code=refusal.code)
        raise
    if trouble is None:
        given.dispatcher.wake()
    else:
        log.error("webhook parked", sender=sender, event_id=event_id, trouble=trouble)
    return Received(event_id=event_id, duplicate=duplicate, parked=trouble is not None)


def _malformed(event_id: str, raw: bytes, adapter: str) -> str | None:
    """Why these bytes can never be dispatched, if so."""
    try:
        event = read_any(raw, adapter)
    except Refusal as refusal:
        return f"{refusal.code}: {refusal.field or ''} {refusal.message}"
    if event.event_id != event_id:
        return "invalid_input: the body names another event than the header webhook-id"
    return None


async def _keep(given: Given, sender: str, event_id: str, raw: bytes, trouble: str | None) -> bool:
    """Keep the event, parked where it cannot be dispatched. Was it there before?"""
    async with given.store.transaction() as session:
        new = await inbox.receive(session, sender, event_id, raw, given.now())
        if new and trouble is not None:
            await inbox.parked(session, sender, event_id, trouble)
    return not new
