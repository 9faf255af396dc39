"""What the benchmark measures: events, bytes, billable actions and CPU. Counts where possible, ratios where not."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

_TICKS = os.sysconf("SC_CLK_TCK")

ACTIONS: dict[str, str] = {
    "WORKFLOW_EXECUTION_STARTED": "start",
    "TIMER_STARTED": "timer",
    "ACTIVITY_TASK_SCHEDULED": "activity",
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED": "child",
    "WORKFLOW_EXECUTION_UPDATE_ACCEPTED": "update",
    "WORKFLOW_EXECUTION_SIGNALED": "signal",
    "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES": "attributes",
    "MARKER_RECORDED": "local activity",
}
"""Events that Temporal Cloud bills as an action, as far as a history shows them (a local activity: one marker)."""


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes so far, in seconds."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


async def history_of(handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    """Events, bytes and actions of one closed workflow."""
    history = await handle.fetch_history()
    kinds = Counter(EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in history.events)
    described = (await handle.describe()).raw_description.workflow_execution_info
    return {
        "events": len(history.events),
        "history_bytes": described.history_size_bytes,
        "actions": sum(kinds[kind] for kind in ACTIONS),
        "kinds": dict(sorted(kinds.items())),
    }


def medians(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The median of each count."""
    return {key: median(row[key] for row in rows) for key in ("events", "history_bytes", "actions")}
