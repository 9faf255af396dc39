"""What reconciliation found, and why a finding is no trouble. Domain 6, invariants."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api.auth import Identity, allowed
from api.openapi import documented
from api.services import Given
from backhaul.errors import Refusal
from backhaul.facts import Token
from backhaul.names import Role
from backhaul.reconciliation import ExplainedFinding, FindingPage, FindingView, ReconciliationReport
from store.reconcile import findings

router = APIRouter(tags=["reconciliation"])

READERS = (Role.OPERATOR, Role.AUDITOR)


class State(StrEnum):
    """Where a finding is."""

    OPEN = findings.OPEN
    IN_FLIGHT = findings.IN_FLIGHT
    EXPLAINED = findings.EXPLAINED
    CLOSED = findings.CLOSED


@router.get("/v1/findings", summary="What does not agree", **documented(READERS, "not_found", "store_busy"))
async def get_findings(
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*READERS))],
    state: State = State.OPEN,
    after: Annotated[str, Query(max_length=100)] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> FindingPage:
    """Findings of one state, in order of their ids."""
    caller.of_the_platform("the books are")
    async with given.store.read() as session:
        rows = await findings.some(session, state.value, after, limit + 1)
    page = rows[:limit]
    return FindingPage(
        findings=tuple(findings.view_of(row) for row in page), next=page[-1].finding_id if len(rows) > limit else None
    )


@router.get(
    "/v1/reconciliation", summary="The report of a reconciliation", **documented(READERS, "not_found", "store_busy")
)
async def get_reconciliation(
    given: Given, caller: Annotated[Identity, Depends(allowed(*READERS))], cut: Token | None = None
) -> ReconciliationReport:
    """The report of this cut's run, or of the last one that ended: a line an invariant, totals, open findings."""
    caller.of_the_platform("the books are")
    async with given.store.read() as session:
        row = await findings.latest(session, cut)
    if row is None or row.report is None:
        raise Refusal("not_found")
    return ReconciliationReport.model_validate(row.report)


@router.post(
    "/v1/findings/{finding_id}/explanation",
    summary="Say why a finding is no trouble",
    **documented((Role.OPERATOR,), "not_found", "already_decided", "store_busy"),
)
async def post_explanation(
    finding_id: Token,
    request: ExplainedFinding,
    given: Given,
    caller: Annotated[Identity, Depends(allowed(Role.OPERATOR))],
) -> FindingView:
    """Kept with the caller's name. A run that is parked over it goes on at its next look: `retry_step`, or by itself
    within a day. It stays explained while it says the same."""
    caller.of_the_platform("the books are")
    async with given.store.transaction() as session:
        row = await findings.explain(session, finding_id, request.note, caller.name, given.now())
        return findings.view_of(row)
