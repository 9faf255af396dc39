"""A bare workflow of the same shape as a straight lightning return: the yardstick of the benchmark.

The same mix of local and regular activities, updates, timers and attribute upserts; no database, no rules, no
parking, plain JSON. What ours costs above this is what our own code costs.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import SearchAttributeKey

STAGE = SearchAttributeKey.for_keyword("ReturnStage")
QUEUE = "bench-bare"
LOCALS = 4
"""judge, record the pickup, settle, end."""


@activity.defn(name="bare_step")
async def bare_step(argument: dict[str, Any]) -> dict[str, Any]:
    """A step without a database."""
    return {"ok": True, "text": "x" * 200}


@activity.defn(name="bare_effect")
async def bare_effect(argument: dict[str, Any]) -> dict[str, Any]:
    """An effect without a provider."""
    return {"ref": "r-1"}


@workflow.defn(name="BareReturn")
class BareReturn:
    """Open, book, scan, refund and freight together, transit, delivery, receipt, close."""

    @workflow.init
    def __init__(self, request: dict[str, Any]) -> None:
        self.said: list[str] = []
        self.decided = False

    @workflow.run
    async def run(self, request: dict[str, Any]) -> dict[str, Any]:
        await self._step({"step": "judge", **request})
        self.decided = True
        await self._effect({"effect": "book"})
        await self._wait("pickup", "scan", timedelta(hours=4))
        await self._step({"step": "record_pickup"})
        together = [
            asyncio.create_task(self._effect({"effect": "refund"})),
            asyncio.create_task(self._effect({"effect": "freight"})),
        ]
        await self._wait("transit", "delivered", timedelta(hours=72))
        await self._wait("receipt", "confirmed", timedelta(days=10))
        await self._step({"step": "settle"})
        await asyncio.gather(*together)
        await self._step({"step": "end"})
        workflow.upsert_search_attributes([STAGE.value_set("closed")])
        return {"outcome": "refunded"}

    async def _wait(self, stage: str, word: str, limit: timedelta) -> None:
        workflow.upsert_search_attributes([STAGE.value_set(stage)])
        await workflow.wait_condition(lambda: word in self.said, timeout=limit)

    async def _step(self, argument: dict[str, Any]) -> None:
        await workflow.execute_local_activity("bare_step", argument, schedule_to_close_timeout=timedelta(seconds=2))

    async def _effect(self, argument: dict[str, Any]) -> None:
        await workflow.execute_activity("bare_effect", argument, start_to_close_timeout=timedelta(seconds=15))

    @workflow.update
    async def first_decision(self) -> dict[str, Any]:
        await workflow.wait_condition(lambda: self.decided)
        return {"outcome": "authorized"}

    @workflow.update
    def say(self, word: str) -> dict[str, Any]:
        self.said.append(word)
        return {"recorded": True}

    @say.validator
    def _say_ok(self, word: str) -> None:
        if not word:
            raise ValueError("a word")
