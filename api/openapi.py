"""What the OpenAPI document says beyond the types: roles, codes, examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problems import Problem, described
from backhaul.names import Role, Update

EVERYWHERE = ("invalid_input", "payload_too_large", "unauthenticated", "forbidden", "internal_error")
"""Codes of every route that takes a token."""

AT = "2026-03-01T09:30:00+08:00"
PHOTO = {"ref": "evidence/R-1/door-1.jpg", "sha256": "0" * 64, "by": "merchant"}
EXAMPLES: dict[Update, dict[str, Any]] = {
    Update.WITHDRAW: {"reason": "keeps the goods"},
    Update.ANSWER_OFFER: {"answer": "accept"},
    Update.ANSWER_FINDING: {"answer": "dispute"},
    Update.PROVIDE_WAYBILL: {"waybill": "SF1234567890", "proven_freight": {"minor": 1200, "currency": "CNY"}},
    Update.PROVIDE_ACCOUNT: {"account_ref": "acc-1"},
    Update.ESCALATE: {"reason": "the refusal is wrong"},
    Update.ANSWER_INFO: {"note": "the photos show the label"},
    Update.REQUEST_INFO: {"question": "photos"},
    Update.AUTHORIZE: {"note": ""},
    Update.DECLINE: {"reason": "used_goods"},
    Update.CONFIRM_RECEIPT: {"note": "all in order"},
    Update.REPORT_RECEIPT_ISSUE: {
        "findings": [{"line_id": "L-1", "finding": "damage", "quantity": 1, "severity": 30}],
        "evidence": [PHOTO],
    },
    Update.SUBMIT_EVIDENCE: {"evidence": [PHOTO]},
    Update.REPORT_PICKUP: {
        "event_id": "evt-1",
        "outcome": "picked_up",
        "waybill": "SF1234567890",
        "occurred_at": AT,
        "collected": ["L-1"],
    },
    Update.REPORT_TRACKING: {
        "event_id": "evt-2",
        "status": "delivered",
        "waybill": "SF1234567890",
        "occurred_at": AT,
    },
    Update.REPORT_PAYMENT: {
        "event_id": "evt-3",
        "payment_key": "M-7:R-1:refund.pay-1:1",
        "news": "bounced",
        "occurred_at": AT,
    },
    Update.RETRY_STEP: {"note": "the provider is back"},
    Update.SKIP_STEP: {"provider_proof": True, "note": "refunded by hand"},
    Update.EXTEND_DEADLINE: {"seconds": 86400, "note": "the merchant asked"},
    Update.APPLY_RULING: {"ruling_id": "rul-1"},
    Update.APPLY_APPROVAL: {"approval_id": "apr-1"},
    Update.CLOSE_CASE: {"reason": "opened by mistake"},
}


def documented(
    roles: tuple[Role, ...],
    *codes: str,
    example: Mapping[str, Any] | None = None,
    also: Mapping[int | str, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Arguments of a route: its roles (`x-roles`), its codes by status, an example of its body."""
    extra: dict[str, Any] = {"x-roles": [role.value for role in roles]}
    if example is not None:
        extra["requestBody"] = {"content": {"application/json": {"example": dict(example)}}}
    responses = {**described(*EVERYWHERE, *codes), **(also or {})}
    return {"responses": responses, "openapi_extra": extra}


def install(app: FastAPI) -> None:
    """Add what FastAPI does not know: the problem's schema, and each route's roles in words."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
            )
            _add_problem(document)
            for operations in document["paths"].values():
                for operation in operations.values():
                    _say_roles(operation)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_problem(document: dict[str, Any]) -> None:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    definitions = schema.pop("$defs", {})
    known = document.setdefault("components", {}).setdefault("schemas", {})
    for name, definition in {**definitions, Problem.__name__: schema}.items():
        known.setdefault(name, definition)


def _say_roles(operation: dict[str, Any]) -> None:
    if roles := operation.get("x-roles"):
        said = f"Role: {' or '.join(f'`{role}`' for role in roles)}."
        operation["description"] = f"{operation.get('description', '')}\n\n{said}".strip()
