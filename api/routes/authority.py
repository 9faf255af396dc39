"""POST /v1/approvals and /v1/rulings: what a person decides, under the identity that the token proves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from api import idempotency
from api.auth import Identity, allowed
from api.idempotency import Key
from api.openapi import documented
from api.services import Given
from backhaul.disputes import OUTCOMES, Question
from backhaul.errors import Refusal
from backhaul.facts import Token, digest
from backhaul.ids import CaseId
from backhaul.ledger.journal import PLATFORM
from backhaul.messages import Approval, CreateRuling, PrepareApproval, Ruling
from backhaul.names import Role
from store import authority, cases, orders

router = APIRouter(tags=["authority"])

DECIDES: dict[str, frozenset[str]] = {
    **{question.value: OUTCOMES[question] for question in (Question.LIABILITY, Question.AUTHORIZATION)},
    "recovery": frozenset({"owed", "uncollectable"}),
}
"""What a ruling may decide, and how."""


@router.post(
    "/v1/approvals",
    status_code=201,
    summary="Put one money step before a second person",
    **documented((Role.OPERATOR,), "not_found", "approval_mismatch", "store_busy"),
)
async def prepare_approval(
    request: PrepareApproval,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(Role.OPERATOR))],
    key: Key = None,
) -> Approval:
    """What is to be approved, bound to claim, amount and payee by hash (invariant 13), and prepared by whom the token
    names. It lets nothing go before another person approved it. The same request again is the same one.
    Without `rma_id` it concerns the merchant (or `platform`) and no case."""
    caller.may_act_for(request.merchant_id)
    approval_id = _id("apr", request.model_dump(mode="json"), caller, key)
    async with given.store.transaction() as session:
        if request.rma_id is not None:
            await cases.need(session, CaseId(request.merchant_id, request.rma_id).key)
        elif request.merchant_id != PLATFORM:
            await orders.need_merchant(session, request.merchant_id)
        return await authority.prepare_approval(session, approval_id, request, caller.name, given.now())


@router.post(
    "/v1/approvals/{approval_id}/approve",
    summary="Approve one money step",
    **documented((Role.APPROVER,), "same_person", "approval_unknown", "already_decided", "store_busy"),
)
async def approve(
    approval_id: Token,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(Role.APPROVER))],
) -> Approval:
    """The second person's yes to what was prepared. An operator then sends `apply_approval` with its id, or the
    treasury entry that it is for. The same person again is no change."""
    async with given.store.transaction() as session:
        prepared = await authority.find_approval(session, approval_id)
        caller.may_act_for(prepared.merchant_id)
        return await authority.approve(session, approval_id, caller.name)


@router.post(
    "/v1/rulings",
    status_code=201,
    summary="Rule on a question of a case",
    **documented(
        (Role.APPROVER,),
        "not_found",
        "line_unknown",
        "ruling_unknown",
        "ruling_mismatch",
        "same_reviewer",
        "store_busy",
    ),
)
async def post_ruling(
    request: CreateRuling,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(Role.APPROVER))],
    key: Key = None,
) -> Ruling:
    """A human decision on liability (merchant, consumer, carrier, insurer, nobody), on a refusal (authorize, uphold) or
    on a recovery (owed, uncollectable). An operator then sends `apply_ruling` with its id. The same request again is
    the same ruling.

    Where a loss has more than one cause, `findings` are what the outcome's party is liable for, and `shares` say what
    others are. On an appeal it names the ruling that it `overrules`, which another reviewer made."""
    caller.may_act_for(request.merchant_id)
    outcomes = DECIDES.get(request.decides)
    if outcomes is None:
        raise Refusal("invalid_input", f"decides: {' or '.join(DECIDES)}", field="decides")
    if request.outcome not in outcomes:
        raise Refusal("invalid_input", f"outcome: {', '.join(sorted(outcomes))}", field="outcome")
    ruling_id = _id("rul", request.model_dump(mode="json"), caller, key)
    case = CaseId(request.merchant_id, request.rma_id)
    async with given.store.transaction() as session:
        await cases.need(session, case.key)
        return await authority.create_ruling(session, ruling_id, request, caller.name, given.now())


def _id(prefix: str, body: dict[str, object], caller: Identity, key: str | None) -> str:
    """An id that the same request by the same person gets again."""
    unique = {"body": body, "by": caller.name, "key": idempotency.optional(key)}
    return f"{prefix}-{digest(unique)[:32]}"
