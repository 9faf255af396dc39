"""Recoveries: what is got back for a return's indemnities, and the operators' updates of each. Domain X26 to X28."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends
from pydantic import BaseModel

from api import idempotency
from api.auth import Identity, MerchantQuery, allowed
from api.idempotency import Key
from api.openapi import EXAMPLES, documented
from api.routes.returns import LISTERS
from api.routes.updates import ALL, CODES_OF
from api.services import Given
from api.views import View, recovery_of
from backhaul.client import Backhaul
from backhaul.errors import BackhaulError, Refusal
from backhaul.facts import Token
from backhaul.ids import CaseId
from backhaul.messages import Ack
from backhaul.names import ROLE_OF, UPDATE_DESCRIPTIONS, Update
from backhaul.recoveries import RecoveryStatus
from backhaul.schemas import UPDATE_PAYLOADS
from store import cases, recoveries
from store.tables import RecoveryRow

log = structlog.get_logger(__name__)
router = APIRouter(tags=["recoveries"])

TAKEN = (Update.RETRY_STEP, Update.SKIP_STEP, Update.EXTEND_DEADLINE, Update.APPLY_RULING, Update.CLOSE_CASE)
"""Updates that a recovery takes."""


class RecoveryList(View):
    """A return's recoveries in the order opened."""

    recoveries: tuple[RecoveryStatus, ...]


@router.get(
    "/v1/returns/{rma_id}/recoveries", summary="What is got back for a return", **documented(LISTERS, "not_found")
)
async def list_recoveries(
    rma_id: Token,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*LISTERS))],
    merchant_id: MerchantQuery = None,
) -> RecoveryList:
    """Every recovery of the return; those that run say what they wait for, where a worker can answer."""
    case = CaseId(caller.merchant(merchant_id), rma_id)
    rows = await _rows(given, case)
    asked = await asyncio.gather(*(_asked(given.backhaul, row) for row in rows))
    return RecoveryList(recoveries=tuple(asked))


async def _rows(given: Given, case: CaseId) -> tuple[RecoveryRow, ...]:
    async with given.store.read() as session:
        if await cases.get(session, case.key) is None:
            raise Refusal("not_found")
        return await recoveries.of_case(session, case.key)


async def _asked(backhaul: Backhaul, row: RecoveryRow) -> RecoveryStatus:
    known = recovery_of(row)
    if row.state in recoveries.ENDED:
        return known
    try:
        said = await backhaul.recovery(row.recovery_ref)
    except BackhaulError as error:
        log.info("recovery not asked", workflow_id=row.workflow_id, code=error.code)
        return known
    return known.model_copy(update={"waiting": said.waiting, "attention": said.attention, "events": said.events})


def _route(update: Update) -> Callable[..., Awaitable[Ack]]:
    """The endpoint of one update. Its body's type is set below, as it differs from route to route."""

    async def send(
        rma_id: Token,
        recovery_ref: Token,
        payload: BaseModel,
        given: Given,
        caller: Annotated[Identity, Depends(allowed(ROLE_OF[update]))],
        merchant_id: MerchantQuery = None,
        key: Key = None,
    ) -> Ack:
        case = CaseId(caller.merchant(merchant_id), rma_id)
        if recovery_ref not in {row.recovery_ref for row in await _rows(given, case)}:
            raise Refusal("not_found")
        sent = idempotency.optional(key)
        update_id = None if sent is None else f"{update.value}:{sent}"
        return await given.backhaul.report_recovery(recovery_ref, update, payload, update_id)

    send.__annotations__ = {
        **send.__annotations__,
        "payload": UPDATE_PAYLOADS[update],
        "caller": Annotated[Identity, Depends(allowed(ROLE_OF[update]))],
    }
    send.__name__ = f"recovery_{update.value}"
    send.__doc__ = UPDATE_DESCRIPTIONS[update]
    return send


for _update in TAKEN:
    router.add_api_route(
        f"/v1/returns/{{rma_id}}/recoveries/{{recovery_ref}}/{_update.value}",
        _route(_update),
        methods=["POST"],
        response_model=Ack,
        operation_id=f"recovery_{_update.value}",
        summary=f"{_update.value.replace('_', ' ').capitalize()}, in a recovery",
        **documented((ROLE_OF[_update],), *CODES_OF.get(_update, ()), *ALL, example=EXAMPLES.get(_update)),
    )
