"""Problems: every refusal as RFC 9457 `application/problem+json`, with our codes. The one table of HTTP statuses.

Domain errors know nothing of HTTP; this module knows nothing of the domain but its codes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from backhaul.client import ReturnClosed
from backhaul.errors import CODES, BackhaulError
from backhaul.messages import CaseOutcome

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:backhaul:problem:"

STATUS: dict[str, int] = {
    # the caller's input
    "invalid_input": 422,
    "invalid_id": 422,
    "payload_too_large": 413,
    "idempotency_key_required": 400,
    "idempotency_mismatch": 409,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "unknown_update": 404,
    "bad_signature": 401,
    "unknown_sender": 404,
    "event_conflict": 409,
    "method_not_allowed": 405,
    # orders and cases
    "order_unknown": 422,
    "order_conflict": 409,
    "line_unknown": 422,
    "currency_mismatch": 422,
    "return_conflict": 409,
    "return_closed": 409,
    "return_open": 409,
    "nothing_unclaimed": 409,
    "unknown_book": 422,
    # what a case cannot do now
    "already_picked_up": 409,
    "already_decided": 409,
    "not_waiting": 409,
    "reopen_unknown": 404,
    "reopen_not_expired": 409,
    "reopen_mismatch": 409,
    "reopen_limit": 409,
    "already_asked": 409,
    "no_offer": 409,
    "no_finding": 409,
    "not_self_ship": 409,
    "not_delivered": 409,
    "statutory_return": 409,
    "not_declined": 409,
    "not_parked": 409,
    "proof_required": 409,
    "proof_refused": 409,
    "approval_unknown": 422,
    "approval_mismatch": 409,
    "approval_used": 409,
    "approval_required": 409,
    "same_person": 403,
    "ruling_unknown": 422,
    "ruling_mismatch": 409,
    "same_reviewer": 403,
    "not_appealable": 409,
    "appealed_before": 409,
    "appeal_late": 409,
    "money_under_way": 409,
    "too_many_messages": 429,
    # why a case is parked
    "ruling_needed": 409,
    "reconciliation_difference": 409,
    "arbitration_needed": 409,
    "cancel_requested": 409,
    "insurer_late": 409,
    "funding_refused": 409,
    "late_scan": 409,
    "courier_refused": 409,
    # providers, seen through a case
    "provider_rejected": 502,
    "provider_unavailable": 503,
    "provider_rate_limited": 503,
    "provider_unknown": 504,
    "provider_malformed": 502,
    "pending": 503,
    "already_collected": 409,
    "not_returnable": 409,
    "account_abnormal": 409,
    "channel_closed": 409,
    "insufficient_balance": 409,
    "payer_short": 503,
    "exceeds_capture": 409,
    "notice_undelivered": 409,
    "claim_denied": 409,
    "claim_contested": 409,
    "uncollectable": 409,
    "given_up": 409,
    "no_answer": 504,
    # store and money
    "effect_conflict": 409,
    "entry_conflict": 409,
    "unbalanced": 500,
    "credit_exceeded": 409,
    "over_refund": 409,
    "over_indemnity": 409,
    "exceeds_owed": 409,
    "invariant_broken": 500,
    "store_busy": 503,
    # ourselves
    "step_failed": 500,
    "unavailable": 503,
    "internal_error": 500,
}
"""HTTP status of every code. Nowhere else does a code meet a status."""

RETRY_AFTER_S = 1.0
_BY_STATUS = {
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
}


class FieldProblem(BaseModel):
    """One field that does not fit."""

    field: str = Field(examples=["lines.0.quantity"])
    message: str = Field(examples=["Input should be greater than or equal to 1"])


class Problem(BaseModel):
    """RFC 9457. Branch on `code`, never on text."""

    type: str = Field(examples=[f"{TYPE_PREFIX}return_conflict"])
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    code: str = Field(examples=["return_conflict"])
    field: str | None = None
    errors: list[FieldProblem] | None = Field(default=None, description="every field that does not fit")
    outcome: CaseOutcome | None = Field(default=None, description="return_closed: how the case ended, where known")


def problem(
    code: str,
    detail: str = "",
    *,
    field: str | None = None,
    errors: Sequence[FieldProblem] | None = None,
    outcome: CaseOutcome | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The response for a code."""
    body = Problem(
        type=f"{TYPE_PREFIX}{code}",
        title=CODES[code],
        status=STATUS[code],
        detail=detail or CODES[code],
        code=code,
        field=field,
        errors=None if errors is None else list(errors),
        outcome=outcome,
    )
    return JSONResponse(
        body.model_dump(mode="json", exclude_none=True),
        status_code=body.status,
        media_type=MEDIA_TYPE,
        headers={**_headers(code), **(headers or {})},
    )


def of_error(error: BackhaulError) -> JSONResponse:
    """The response for a coded error."""
    headers = {}
    if STATUS[error.code] == 503:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s or RETRY_AFTER_S))
    outcome = error.outcome if isinstance(error, ReturnClosed) else None
    return problem(error.code, error.message, field=error.field, outcome=outcome, headers=headers)


def described(*codes: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` for these codes, by status, each with an example."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        entry = found.setdefault(
            STATUS[code], {"description": "", "content": {MEDIA_TYPE: {"schema": _SCHEMA, "examples": {}}}}
        )
        entry["description"] = f"{entry['description']} `{code}`: {CODES[code]}".strip()
        entry["content"][MEDIA_TYPE]["examples"][code] = {"value": _example(code)}
    return found


_SCHEMA = {"$ref": "#/components/schemas/Problem"}


def _example(code: str) -> dict[str, object]:
    text = CODES[code]
    return {
        "type": f"{TYPE_PREFIX}{code}",
        "title": text,
        "status": STATUS[code],
        "detail": text,
        "code": code,
    }


def _headers(code: str) -> dict[str, str]:
    return {"WWW-Authenticate": 'Bearer realm="backhaul"'} if code == "unauthenticated" else {}


def install(app: FastAPI) -> None:
    """Turn every error of this app into a problem."""

    @app.exception_handler(BackhaulError)
    async def _coded(_request: Request, error: BackhaulError) -> JSONResponse:
        return of_error(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        # Never the input: it may be personal, and logs keep answers.
        fields = [FieldProblem(field=_path(item["loc"]), message=str(item["msg"])) for item in error.errors()[:50]]
        return problem("invalid_input", field=fields[0].field if fields else None, errors=fields)

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> JSONResponse:
        code = _BY_STATUS.get(error.status_code, "invalid_input" if error.status_code < 500 else "internal_error")
        return problem(code, headers=error.headers)

    @app.exception_handler(Exception)
    async def _bug(request: Request, error: Exception) -> JSONResponse:
        log.error("unhandled", method=request.method, path=request.url.path, exc_info=error)
        return problem("internal_error")


def _path(location: Sequence[object]) -> str:
    """`("body", "lines", 0, "quantity")` as `lines.0.quantity`; other places keep their name in front."""
    pieces = [str(piece) for piece in location]
    if pieces[:1] == ["body"] and len(pieces) > 1:
        pieces = pieces[1:]
    return ".".join(pieces)
