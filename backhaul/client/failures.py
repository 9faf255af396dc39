"""What Temporal's errors mean to a caller: one place turns RPC, update and query failures into coded errors.

Branches on types and status codes, never on text.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel
from temporalio.client import (
    RPCTimeoutOrCancelledError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.service import RPCError, RPCStatusCode

from backhaul.errors import CODES, BackhaulError, Refusal, Rejected, Transient, Unknown
from backhaul.messages import CaseOutcome

KINDS: dict[str, type[BackhaulError]] = {
    Rejected.kind: Refusal,
    Transient.kind: Transient,
    Unknown.kind: Unknown,
}
INPUT_ERROR = "ValidationError"
"""Type of the failure that a worker reports for a body that does not fit its model."""
CLOSED_UNDER_WAY = "AcceptedUpdateCompletedWorkflow"
"""Type of the failure that the server reports for an update whose case closed before answering it."""


class ReturnClosed(Refusal):
    """The case is closed. `outcome` says how it ended, while Temporal still knows."""

    def __init__(self, merchant_id: str, rma_id: str, outcome: CaseOutcome | None = None):
        super().__init__("return_closed")
        self.merchant_id = merchant_id
        self.rma_id = rma_id
        self.outcome = outcome


def unreachable(message: str = "Temporal is not reachable; try again.") -> Transient:
    """Nothing happened, since Temporal did not take the request."""
    return Transient("unavailable", message)


def is_gone(error: BaseException) -> bool:
    """Does this say that no open run took the request (closed, or never there)?"""
    if isinstance(error, RPCError):
        return error.status is RPCStatusCode.NOT_FOUND
    cause = _application_error(error)
    return cause is not None and cause.type == CLOSED_UNDER_WAY


def translate(error: BaseException) -> BackhaulError | None:
    """The coded error behind an SDK error; None where it is none of the three kinds, which makes it a bug."""
    if isinstance(error, BackhaulError):
        return error
    if isinstance(error, RPCTimeoutOrCancelledError | TimeoutError):
        return Unknown("no_answer", "The case did not answer in time; repeat the same request.")
    if isinstance(error, WorkflowUpdateFailedError | WorkflowFailureError):
        cause = _application_error(error)
        return None if cause is None else _coded(cause)
    if isinstance(error, WorkflowQueryFailedError | WorkflowQueryRejectedError):
        return unreachable("The case cannot be asked now.")
    if isinstance(error, RPCError):
        return _rpc(error)
    return None


def _rpc(error: RPCError) -> BackhaulError:
    if error.status is RPCStatusCode.NOT_FOUND:
        return Refusal("not_found")
    if error.status is RPCStatusCode.INVALID_ARGUMENT:
        return Refusal("invalid_input", "Temporal refused the request: too large, or an argument it does not take.")
    if error.status in {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}:
        return Unknown("no_answer", "The case did not answer in time; repeat the same request.")
    return unreachable()


def _application_error(error: BaseException) -> ApplicationError | None:
    """The innermost application error: an activity's refusal arrives wrapped in the activity's failure."""
    found: ApplicationError | None = None
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, ApplicationError):
            found = current
        current = current.__cause__ if isinstance(current, FailureError) or current is error else None
    return found


def _coded(cause: ApplicationError) -> BackhaulError | None:
    if cause.type == INPUT_ERROR:
        return Refusal("invalid_input")
    kind = KINDS.get(cause.type or "")
    if kind is None:
        return None
    detail = _detail(cause)
    code, message = str(detail.get("code") or ""), str(detail.get("message") or "")
    field = detail.get("field")
    if code not in CODES:  # from a newer worker: keep what it said
        code, message = "provider_rejected", f"{code or 'no code'}: {message or 'no text'}"
    return kind(code, message, field=None if field is None else str(field))


def _detail(cause: ApplicationError) -> Mapping[str, object]:
    """The first detail that is an object: {"code", "message", "field"}."""
    for detail in cause.details:
        if isinstance(detail, BaseModel):
            return detail.model_dump(mode="json")
        if isinstance(detail, Mapping):
            return detail
    return {}
