"""Where the command line gets cases from: the API where it is named, Temporal otherwise."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from temporalio.client import Client, WorkflowExecution

from backhaul.cli import remote
from backhaul.client import Backhaul, connect
from backhaul.errors import BackhaulError, Refusal
from backhaul.ids import CaseId, parse_dispute_id, parse_return_id
from backhaul.messages import CaseStatus, Explanation, FirstDecision, OpenReturn
from backhaul.names import ATTENTION, DUE_AT, MERCHANT_ID

UI_VARIABLE = "BACKHAUL_UI_URL"
DEFAULT_UI = "http://localhost:8233"
STUCK_QUERY = f"{ATTENTION} IS NOT NULL AND ExecutionStatus = 'Running'"


class Cases(Protocol):
    """What both ways offer."""

    async def open(self, request: OpenReturn) -> FirstDecision: ...

    async def status(self, merchant_id: str | None, rma_id: str) -> CaseStatus: ...

    async def explain(self, merchant_id: str | None, rma_id: str) -> Explanation: ...


class OverTemporal:
    """Straight to the cases; the merchant must be named."""

    def __init__(self, client: Client):
        self._backhaul = Backhaul(client)

    async def open(self, request: OpenReturn) -> FirstDecision:
        return await self._backhaul.open(request)

    async def status(self, merchant_id: str | None, rma_id: str) -> CaseStatus:
        return await self._backhaul.status(_named(merchant_id), rma_id)

    async def explain(self, merchant_id: str | None, rma_id: str) -> Explanation:
        return await self._backhaul.explain(_named(merchant_id), rma_id)


@asynccontextmanager
async def reached() -> AsyncIterator[Cases]:
    """The API if BACKHAUL_API_URL and BACKHAUL_TOKEN name one, else Temporal by TEMPORAL_*."""
    api = remote.from_environment()
    if api is not None:
        async with api:
            yield api
        return
    yield OverTemporal(await connect())


def _named(merchant_id: str | None) -> str:
    if merchant_id is None:
        raise Refusal("invalid_input", "name the merchant: --merchant, or MERCHANT/RMA", field="merchant")
    return merchant_id


@dataclass(frozen=True)
class Stuck:
    """One parked workflow: why, since when, until when, and where to look."""

    workflow_id: str
    merchant_id: str
    reason: str
    since: datetime | None
    due: datetime | None
    headline: str
    send: str
    link: str


async def stuck(client: Client, limit: int) -> list[Stuck]:
    """What is parked, by visibility (a second or two late). Raises Transient where Temporal does not answer."""
    backhaul = Backhaul(client)
    found: list[Stuck] = []
    async for execution in client.list_workflows(STUCK_QUERY, limit=limit):
        found.append(await _look(client, backhaul, execution))  # noqa: PERF401 (one query after another, on purpose)
    return sorted(found, key=lambda one: (one.due is None, one.due))


async def _look(client: Client, backhaul: Backhaul, execution: WorkflowExecution) -> Stuck:
    attributes = {pair.key.name: pair.value for pair in execution.typed_search_attributes}
    attention = None
    with suppress(BackhaulError):  # not a return, or nobody can answer now: visibility says enough
        attention = (await backhaul.status(*_case_of(execution.id))).attention
    due = attributes.get(DUE_AT)
    return Stuck(
        workflow_id=execution.id,
        merchant_id=str(attributes.get(MERCHANT_ID, "")),
        reason=str(attributes.get(ATTENTION, "")),
        since=attention.since if attention else None,
        due=attention.due if attention else (due if isinstance(due, datetime) else None),
        headline=attention.headline if attention else "",
        send=attention.send if attention else "",
        link=ui_link(client, execution),
    )


def _case_of(workflow_id: str) -> CaseId:
    """The return behind a parked workflow: a dispute's return shows what the dispute waits for."""
    if workflow_id.startswith("dispute:"):
        return parse_dispute_id(workflow_id)[0]
    return parse_return_id(workflow_id)


def ui_link(client: Client, execution: WorkflowExecution) -> str:
    """The workflow's page in Temporal's UI."""
    base = (os.environ.get(UI_VARIABLE, "").strip() or DEFAULT_UI).rstrip("/")
    return f"{base}/namespaces/{client.namespace}/workflows/{execution.id}/{execution.run_id}"
