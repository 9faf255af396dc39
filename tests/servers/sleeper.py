"""A workflow to test the servers with; a module of its own, as the sandbox imports it for each run."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey

STAGE = SearchAttributeKey.for_keyword("ReturnStage")


@workflow.defn
class Sleeper:
    """Sleeps for a day; a search attribute says so."""

    @workflow.run
    async def run(self) -> str:
        workflow.upsert_search_attributes([STAGE.value_set("pickup")])
        await workflow.sleep(timedelta(days=1))
        return "rested"
