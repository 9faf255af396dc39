"""A merchant's account: settlements, statements, holds; and movements at the bank that operators book."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel

from api import idempotency
from api.auth import Identity, allowed
from api.idempotency import Key
from api.openapi import EXAMPLES, documented
from api.routes.updates import CODES_OF
from api.services import Given, Services
from backhaul.errors import Refusal
from backhaul.facts import Token
from backhaul.ids import CaseId
from backhaul.messages import Ack
from backhaul.names import UPDATE_DESCRIPTIONS, Role, Update
from backhaul.schemas import UPDATE_PAYLOADS
from backhaul.statements import SettledCuts, Statement, to_csv
from backhaul.treasury import HoldPayouts, Holds, HoldView, PostTreasury, ReleasePayouts, TreasuryPosted
from store import cases, holds, orders, statements, treasury
from store.tables import HoldRow

router = APIRouter(tags=["merchants"])

READERS = (Role.MERCHANT, Role.OPERATOR, Role.APPROVER, Role.AUDITOR)
CSV = "text/csv"
AS_CSV: dict[int | str, dict[str, Any]] = {
    200: {"content": {CSV: {"schema": {"type": "string"}}}, "description": "JSON, or CSV for `Accept: text/csv`"}
}
Cut = Annotated[Token | None, Query(description="the statement from the cut before to this one")]
Since = Annotated[AwareDatetime | None, Query(alias="from", description="what was posted from this time")]
Until = Annotated[AwareDatetime | None, Query(alias="to", description="what was posted before this time")]


@router.get(
    "/v1/merchants/{merchant_id}/settlements",
    summary="When a merchant was settled",
    **documented(READERS, "not_found", "store_busy"),
)
async def get_settlements(
    merchant_id: Token,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*READERS))],
    after: Annotated[Token | None, Query(description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> SettledCuts:
    """Every cut with its batches, newest first: net, what paid an earlier shortfall, payout, provider's reference."""
    merchant = caller.merchant(merchant_id)
    async with given.store.read() as session:
        return await statements.settled_cuts(session, merchant, after, limit)


@router.get(
    "/v1/merchants/{merchant_id}/statements",
    summary="A merchant's statement",
    response_model=Statement,
    **documented(READERS, "not_found", "invariant_broken", "store_busy", also=AS_CSV),
)
async def get_statement(
    merchant_id: Token,
    given: Given,
    request: Request,
    caller: Annotated[Identity, Depends(allowed(*READERS))],
    cut: Cut = None,
    since: Since = None,
    until: Until = None,
) -> Statement | Response:
    """Opening balance, every line with its case and meaning, closing balance, and the batches that settled the lines:
    of a cut, of a period, or of everything. It adds up, or it is refused (`invariant_broken`)."""
    found = await _statement(given, caller.merchant(merchant_id), cut, since, until)
    return _sheet(found) if CSV in request.headers.get("accept", "") else found


@router.get(
    "/v1/merchants/{merchant_id}/statements.csv",
    summary="A merchant's statement as CSV",
    response_class=Response,
    **documented(READERS, "not_found", "invariant_broken", "store_busy", also=AS_CSV),
)
async def get_statement_csv(
    merchant_id: Token,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*READERS))],
    cut: Cut = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """The same as a table, amounts in major units."""
    return _sheet(await _statement(given, caller.merchant(merchant_id), cut, since, until))


async def _statement(
    given: Services, merchant_id: str, cut: str | None, since: AwareDatetime | None, until: AwareDatetime | None
) -> Statement:
    if cut is not None and (since is not None or until is not None):
        raise Refusal("invalid_input", "name a cut or a period, not both", field="cut")
    if since is not None and until is not None and until < since:
        raise Refusal("invalid_input", "the period ends before it begins", field="to")
    async with given.store.read() as session:
        if cut is not None:
            span = await statements.span_of_cut(session, cut)
        else:
            span = await statements.span_of_time(session, merchant_id, since, until)
        return await statements.statement(session, merchant_id, span)


def _sheet(found: Statement) -> Response:
    name = f"statement-{found.merchant_id}-{found.cut or found.upto}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(to_csv(found), media_type=f"{CSV}; charset=utf-8", headers=headers)


# ---- holds -----------------------------------------------------------------------------------------------------------


@router.get(
    "/v1/merchants/{merchant_id}/holds",
    summary="What is held",
    **documented(READERS, "not_found", "store_busy"),
)
async def get_holds(merchant_id: Token, given: Given, caller: Annotated[Identity, Depends(allowed(*READERS))]) -> Holds:
    """Open holds of the merchant and of its cases, oldest first."""
    merchant = caller.merchant(merchant_id)
    async with given.store.read() as session:
        await orders.need_merchant(session, merchant)
        return Holds(holds=tuple(_hold(row) for row in await holds.holds_of(session, merchant)))


@router.post(
    "/v1/merchants/{merchant_id}/holds",
    summary="Hold a merchant's money",
    **documented((Role.OPERATOR,), "not_found", "store_busy"),
)
async def post_hold(
    merchant_id: Token,
    asked: HoldPayouts,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(Role.OPERATOR))],
) -> Holds:
    """Keep the merchant's money, or one case's, out of settlement. What is in a batch already is not held back."""
    merchant = caller.merchant(merchant_id)
    async with given.store.transaction() as session:
        await orders.need_merchant(session, merchant)
        key = await _case_key(session, merchant, asked.rma_id)
        await holds.hold(session, merchant, given.now(), case_key=key, by=caller.name, note=asked.note)
        await session.flush()
        return Holds(holds=tuple(_hold(row) for row in await holds.holds_of(session, merchant)))


@router.post(
    "/v1/merchants/{merchant_id}/releases",
    summary="Release a hold",
    **documented((Role.OPERATOR,), "not_found", "store_busy"),
)
async def post_release(
    merchant_id: Token,
    asked: ReleasePayouts,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(Role.OPERATOR))],
) -> Holds:
    """Let it into the next settlement, however old it is. A hold that is not there is `not_found`."""
    merchant = caller.merchant(merchant_id)
    async with given.store.transaction() as session:
        key = await _case_key(session, merchant, asked.rma_id)
        ended = await holds.release(session, merchant, given.now(), case_key=key, reason=asked.reason, by=caller.name)
        if not ended:
            raise Refusal("not_found", "there is no such hold")
        await session.flush()
        return Holds(holds=tuple(_hold(row) for row in await holds.holds_of(session, merchant)))


async def _case_key(session: Any, merchant_id: str, rma_id: str | None) -> str:
    if rma_id is None:
        return ""
    key = CaseId(merchant_id, rma_id).key
    await cases.need(session, key)
    return key


def _hold(row: HoldRow) -> HoldView:
    return HoldView(
        merchant_id=row.merchant_id,
        rma_id=row.case_key.partition("/")[2] or None,
        reason=row.reason,
        held_by=row.held_by,
        note=row.note,
        held_at=row.held_at,
    )


# ---- the bank --------------------------------------------------------------------------------------------------------


@router.post(
    "/v1/treasury",
    status_code=201,
    summary="Book a movement at the bank",
    **documented(
        (Role.OPERATOR,),
        "not_found", "approval_unknown", "approval_mismatch", "approval_used", "exceeds_owed", "entry_conflict",
        "store_busy",
        also={200: {"model": TreasuryPosted, "description": "it was booked before"}},
    ),
)  # fmt: skip
async def post_treasury(
    asked: PostTreasury,
    given: Given,
    response: Response,
    caller: Annotated[Identity, Depends(allowed(Role.OPERATOR))],
) -> TreasuryPosted:
    """A deposit received (J77), a shortfall topped up (J73), the provider's balance swept (J05) or topped up (J06),
    under a second person's approval. The same reference again is the same movement."""
    caller.may_act_for(asked.merchant_id)
    posted = await given.store.run(lambda session: treasury.post(session, asked, given.now()))
    if not posted.created:
        response.status_code = 200
    return posted


# ---- a parked settlement ---------------------------------------------------------------------------------------------

TAKEN = (Update.RETRY_STEP, Update.SKIP_STEP, Update.EXTEND_DEADLINE, Update.APPLY_APPROVAL)
"""Updates that a parked settlement takes."""


def _route(update: Update) -> Callable[..., Awaitable[Ack]]:
    """The endpoint of one update. Its body's type is set below, as it differs from route to route."""

    async def send(
        merchant_id: Token,
        cut: Token,
        payload: BaseModel,
        given: Given,
        caller: Annotated[Identity, Depends(allowed(Role.OPERATOR))],
        key: Key = None,
    ) -> Ack:
        sent = idempotency.optional(key)
        update_id = None if sent is None else f"{update.value}:{sent}"
        return await given.backhaul.report_settlement(caller.merchant(merchant_id), cut, update, payload, update_id)

    send.__annotations__ = {**send.__annotations__, "payload": UPDATE_PAYLOADS[update]}
    send.__name__ = f"settlement_{update.value}"
    send.__doc__ = UPDATE_DESCRIPTIONS[update]
    return send


for _update in TAKEN:
    router.add_api_route(
        f"/v1/merchants/{{merchant_id}}/settlements/{{cut}}/{_update.value}",
        _route(_update),
        methods=["POST"],
        response_model=Ack,
        operation_id=f"settlement_{_update.value}",
        summary=f"{_update.value.replace('_', ' ').capitalize()}, in a settlement",
        **documented(
            (Role.OPERATOR,),
            *CODES_OF.get(_update, ()), "not_found", "not_parked", "not_waiting", "no_answer", "unavailable",
            example=EXAMPLES.get(_update),
        ),
    )  # fmt: skip
