"""Where all cases are: the read model's list for what is closed, Temporal's visibility for what is parked.

One look at everybody a second, instead of one at each: two cores carry the whole world here.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass

from temporalio.client import Client
from temporalio.common import SearchAttributeKey

from sandbox.demo.api import Product
from sandbox.samples.rows import Sample

LOOK_EVERY_S = 1.0
PARKED_FOR_S = 4.0
"""A case counts as parked once it has been so for this long."""
ATTENTION = "ReturnAttention"
_ATTENTION = SearchAttributeKey.for_keyword(ATTENTION)
_PARKED = f"{ATTENTION} IS NOT NULL AND ExecutionStatus = 'Running'"
_RECOVERING = "WorkflowType = 'Recovery' AND ExecutionStatus = 'Running'"


@dataclass(frozen=True)
class Parked:
    """One parked workflow, and since when we know."""

    workflow_id: str
    run_id: str
    reason: str
    since: float


def _about(workflow_id: str) -> str:
    """The return that a parked workflow holds up: a dispute's own return, which shows the same reason."""
    kind, _, rest = workflow_id.partition(":")
    return f"return:{rest.rpartition(':')[0]}" if kind == "dispute" else workflow_id


class Board:
    """What is known of all cases."""

    def __init__(self, product: Product, temporal: Client) -> None:
        self._product = product
        self._temporal = temporal
        self.closed: set[str] = set()
        self.parked: dict[str, Parked] = {}

    def is_closed(self, case: str) -> bool:
        """Is the case ("merchant/rma") over?"""
        return case in self.closed

    def is_parked(self, sample: Sample) -> bool:
        """Has the case been parked for a while?"""
        found = self.parked.get(sample.workflow_id)
        return found is not None and asyncio.get_running_loop().time() - found.since >= PARKED_FOR_S

    def has_ended(self, sample: Sample) -> bool:
        """Does nothing more happen to it by itself?"""
        return self.is_closed(sample.case) or self.is_parked(sample)

    async def look(self) -> None:
        """Look once."""
        for case in await self._product.cases():
            if case["closed_at"] is not None:
                self.closed.add(f"{case['merchant_id']}/{case['rma_id']}")
        now = asyncio.get_running_loop().time()
        parked: dict[str, Parked] = {}
        async for execution in self._temporal.list_workflows(_PARKED):
            reason = execution.typed_search_attributes.get(_ATTENTION) or ""
            about = _about(execution.id)
            before = self.parked.get(about)
            since = before.since if before is not None and before.reason == reason else now
            parked[about] = Parked(execution.id, execution.run_id, reason, since)
        self.parked = parked

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def recoveries_over(self, within_s: float) -> int:
        """Wait until no recovery runs; how many still do, parked ones or when the time is up."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while True:
            await asyncio.sleep(LOOK_EVERY_S)  # visibility is a moment late
            running = (await self._temporal.count_workflows(_RECOVERING)).count
            stuck = (await self._temporal.count_workflows(f"{_RECOVERING} AND {ATTENTION} IS NOT NULL")).count
            if running == stuck or loop.time() > deadline:
                return running

    async def history_events(self) -> dict[str, int]:
        """Events in the history of each closed case, and their median."""
        lengths = [
            execution.history_length
            async for execution in self._temporal.list_workflows(
                "WorkflowType = 'ReturnCase' AND ExecutionStatus = 'Completed'"
            )
        ]
        if not lengths:
            return {"median": 0, "least": 0, "most": 0}
        return {"median": int(statistics.median(lengths)), "least": min(lengths), "most": max(lengths)}
