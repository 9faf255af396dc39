"""Returns over Temporal: open, report, ask. Workflows are named, never imported."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
)
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import TemporalError, WorkflowAlreadyStartedError

from backhaul.client.failures import ReturnClosed, is_gone, translate, unreachable
from backhaul.disputes import LodgeAppeal
from backhaul.errors import Refusal, Unknown
from backhaul.facts import digest
from backhaul.ids import CaseId, correction_id, recovery_id, return_id, settlement_id
from backhaul.messages import Ack, CaseOutcome, CaseStatus, CorrectionStatus, Explanation, FirstDecision, OpenReturn
from backhaul.names import MERCHANT_ID, ORDER_ID, QUEUE, STAGE, Query, Update, WorkflowType, clamp
from backhaul.recoveries import RecoveryStatus
from backhaul.schemas import UPDATE_PAYLOADS

V = TypeVar("V", bound=BaseModel)

PATIENCE = timedelta(seconds=20)
"""How long a caller waits for a case's answer. Afterwards the same request may be repeated safely."""


def request_hash(request: OpenReturn) -> str:
    """Identity of a request: the same body always gives the same hash."""
    return digest(request)


class Backhaul:
    """Typed access to return cases.

    Every method raises coded errors only: `Refusal` (with its code), `ReturnClosed`, `Transient` (nothing happened,
    try again), `Unknown` (it may have happened: repeat the same request). What is none of these is a bug and passes.
    """

    def __init__(self, client: Client, *, patience: timedelta = PATIENCE, queue: str = QUEUE):
        self.client = client
        self._patience = patience
        self._queue = queue

    async def open(self, request: OpenReturn) -> FirstDecision:
        """Open a return and get its first decision. The same body again is the same case and the same answer.

        Raises Refusal(`return_conflict`) for another body under the same id, Refusal with the deciding code where the
        request cannot be judged (`order_unknown`, `line_unknown`), ReturnClosed once the case has ended.
        """
        start = self._start_operation(request)
        try:
            async with self._translated():
                answer: FirstDecision = await self.client.execute_update_with_start_workflow(
                    Update.FIRST_DECISION.value,
                    request_hash(request),
                    start_workflow_operation=start,
                    id=str(uuid.uuid4()),  # never the hash: the server would repeat a failed run's answer for ever
                    result_type=FirstDecision,
                    rpc_timeout=self._patience,
                )
                return answer
        except WorkflowAlreadyStartedError:
            raise await self._ended(request.merchant_id, request.rma_id) from None
        except _Gone:
            raise await self._ended(request.merchant_id, request.rma_id) from None
        finally:
            _consume(start)

    def _start_operation(self, request: OpenReturn) -> WithStartWorkflowOperation[object, CaseOutcome]:
        attributes = {STAGE: "authorizing", MERCHANT_ID: request.merchant_id, ORDER_ID: request.order_id}
        return WithStartWorkflowOperation(
            WorkflowType.RETURN_CASE.value,
            request,
            id=return_id(request.merchant_id, request.rma_id),
            task_queue=self._queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            result_type=CaseOutcome,
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(SearchAttributeKey.for_keyword(name), clamp(value))
                    for name, value in attributes.items()
                ]
            ),
            static_summary=f"Return `{request.rma_id}` of order `{request.order_id}`",
        )

    async def report(
        self,
        merchant_id: str,
        rma_id: str,
        update: Update | str,
        payload: BaseModel,
        update_id: str | None = None,
    ) -> Ack:
        """Send one update. The same `update_id` again gets the first answer, within one run of the case.

        Raises Refusal with the case's reason (`not_waiting`, `already_picked_up`, ...), `unknown_update`, `not_found`,
        or ReturnClosed.
        """
        name = _update(update)
        expected = UPDATE_PAYLOADS[name]
        if not isinstance(payload, expected):
            raise Refusal("invalid_input", f"{name.value} takes {expected.__name__}, not {type(payload).__name__}")
        return await self._send(merchant_id, rma_id, name, payload, update_id)

    async def appeal(self, merchant_id: str, rma_id: str, said: LodgeAppeal) -> Ack:
        """Tell an open case of an appeal that was taken; its note says how it is heard. The same appeal again is one.

        Raises Refusal(`not_appealable`, `appealed_before`, `appeal_late`), and what `report` raises."""
        return await self._send(merchant_id, rma_id, Update.APPEAL, said, said.appeal_id)

    async def _send(
        self, merchant_id: str, rma_id: str, name: Update, payload: BaseModel, update_id: str | None
    ) -> Ack:
        try:
            return await self._execute(return_id(merchant_id, rma_id), name, payload, update_id)
        except _Gone:
            raise await self._ended(merchant_id, rma_id) from None

    async def _execute(self, workflow_id: str, name: Update, payload: BaseModel, update_id: str | None) -> Ack:
        """One update of any of our workflows. Raises _Gone where no open run takes it."""
        handle = self.client.get_workflow_handle(workflow_id)
        async with self._translated():
            answer: Ack = await handle.execute_update(
                name.value,
                payload,
                id=update_id or str(uuid.uuid4()),
                result_type=Ack,
                rpc_timeout=self._patience,
            )
            return answer

    async def correct(self, workflow_id: str, start: BaseModel, summary: str) -> None:
        """Start a correction that the store has opened. One that runs, or has run, is a success."""
        with suppress(WorkflowAlreadyStartedError):
            async with self._translated():
                await self.client.start_workflow(
                    WorkflowType.CORRECTION.value,
                    start,
                    id=workflow_id,
                    task_queue=self._queue,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                    static_summary=summary[:200],
                    rpc_timeout=self._patience,
                )

    async def correction(self, case: CaseId, n: int) -> CorrectionStatus:
        """What a correction that runs says of itself. Raises as `status` does."""
        return await self._ask(correction_id(case, n), Query.STATUS, CorrectionStatus)

    async def recovery(self, recovery_ref: str) -> RecoveryStatus:
        """What a recovery that runs says of itself. Raises as `status` does."""
        return await self._ask(recovery_id(recovery_ref), Query.STATUS, RecoveryStatus)

    async def report_recovery(
        self, recovery_ref: str, update: Update | str, payload: BaseModel, update_id: str | None = None
    ) -> Ack:
        """Send one update to a recovery. Raises Refusal with its reason, `not_parked` once it has ended."""
        try:
            return await self._execute(recovery_id(recovery_ref), _update(update), payload, update_id)
        except _Gone:
            raise Refusal("not_parked", "The recovery has ended, or was never started.") from None

    async def report_correction(
        self, case: CaseId, n: int, update: Update | str, payload: BaseModel, update_id: str | None = None
    ) -> Ack:
        """Send one update to a correction. Raises Refusal with its reason, `return_closed` once it has ended."""
        try:
            return await self._execute(correction_id(case, n), _update(update), payload, update_id)
        except _Gone:
            raise Refusal("return_closed", "The correction is closed, or was never opened.") from None

    async def report_settlement(
        self, merchant_id: str, cut: str, update: Update | str, payload: BaseModel, update_id: str | None = None
    ) -> Ack:
        """Send one update to a merchant's settlement at a cut. Raises Refusal with its reason, `not_parked` once it has
        ended or where it never was."""
        try:
            return await self._execute(settlement_id(merchant_id, cut), _update(update), payload, update_id)
        except _Gone:
            raise Refusal("not_parked", "The settlement has ended, or was never started.") from None

    async def status(self, merchant_id: str, rma_id: str) -> CaseStatus:
        """The case's own view of itself. Raises Refusal(`not_found`), Transient where no worker can answer."""
        return await self._ask(return_id(merchant_id, rma_id), Query.STATUS, CaseStatus)

    async def explain(self, merchant_id: str, rma_id: str) -> Explanation:
        """Every decision of the case. Raises as `status` does."""
        return await self._ask(return_id(merchant_id, rma_id), Query.EXPLAIN, Explanation)

    async def _ask(self, workflow_id: str, query: Query, view: type[V]) -> V:
        handle = self.client.get_workflow_handle(workflow_id)
        try:
            async with self._translated():
                answer: V = await handle.query(query.value, result_type=view, rpc_timeout=self._patience)
                return answer
        except _Gone:
            raise Refusal("not_found") from None
        except Unknown as unknown:  # a question changes nothing
            raise unreachable("No worker answered in time; ask again.") from unknown

    async def _ended(self, merchant_id: str, rma_id: str) -> Exception:
        """Why no open run took the request: never there, failed at its start, or closed with an outcome."""
        handle = self.client.get_workflow_handle(return_id(merchant_id, rma_id), result_type=CaseOutcome)
        try:
            async with self._translated():
                status = (await handle.describe(rpc_timeout=self._patience)).status
                if status is WorkflowExecutionStatus.COMPLETED:
                    return ReturnClosed(merchant_id, rma_id, await handle.result(rpc_timeout=self._patience))
                if status is WorkflowExecutionStatus.FAILED:
                    await handle.result(rpc_timeout=self._patience)
        except _Gone:
            return Refusal("not_found")
        except Refusal as refusal:
            return refusal
        except WorkflowFailureError:
            return ReturnClosed(merchant_id, rma_id)
        return ReturnClosed(merchant_id, rma_id)

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Bound the wait and translate what fails; being cancelled stays being cancelled."""
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                yield
        except WorkflowAlreadyStartedError:
            raise
        except (TemporalError, TimeoutError) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from error
            if is_gone(error):
                raise _Gone from error
            coded = translate(error)
            if coded is None:
                raise
            raise coded from error


class _Gone(Exception):
    """No open run took the request."""


def _update(name: Update | str) -> Update:
    try:
        update = Update(name)
    except ValueError:
        raise Refusal("unknown_update", field="update") from None
    if update not in UPDATE_PAYLOADS:
        raise Refusal("unknown_update", field="update")
    return update


def _consume(start: WithStartWorkflowOperation[object, CaseOutcome]) -> None:
    """Look at the start's own result, so that a failed one is not reported as never looked at."""
    future = start._workflow_handle
    if future.done() and not future.cancelled():
        future.exception()
