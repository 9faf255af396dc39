"""Driving the bare workflow through the same steps, with the same pauses, as a real return."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from temporalio.client import WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy

from benchmarks.bare import QUEUE, BareReturn
from benchmarks.servers import Servers


class Yardstick:
    """The bare side."""

    def __init__(self, servers: Servers) -> None:
        self.client = servers.client
        self.pid = servers.bare_pid

    async def run(self, number: int, pause: float) -> WorkflowHandle[Any, Any]:
        """One bare return, from start to close."""
        start = WithStartWorkflowOperation(
            BareReturn.run,
            {"number": number, "text": "x" * 300},
            id=f"bare-{number}-{uuid.uuid4().hex[:8]}",
            task_queue=QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        )
        await self.client.execute_update_with_start_workflow(BareReturn.first_decision, start_workflow_operation=start)
        handle = await start.workflow_handle()
        await asyncio.sleep(pause)
        for word in ("scan", "in_transit", "delivered", "confirmed"):
            await handle.execute_update(BareReturn.say, word)
            await asyncio.sleep(pause if word != "confirmed" else 0)
        await handle.result()
        return handle
