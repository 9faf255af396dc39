"""`make bench`: straight lightning returns against a bare workflow of the same shape, on one server, in turns.

Two measurements. Paced: a few returns one step after the other, for events, history bytes and billable actions, which
are counts and repeat exactly. Loaded: many at once, for returns a second and CPU, of which only the ratios mean
something on a small, busy machine. Writes out/bench.json; fails when events exceed their target.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.measure import cpu_seconds, history_of, medians
from benchmarks.ours import Ours
from benchmarks.servers import Servers, start_servers
from benchmarks.yardstick import Yardstick

EVENTS_RATIO = 1.35
EVENTS_MAX = 60
"""Targets: at most 1.35 times the bare workflow's events, and at most 60 in all."""

Runner = Callable[[int, float], Awaitable[Any]]


async def loaded(
    servers: Servers, run: Runner, worker: int, numbers: range, at_once: int, tick: Callable[[], None]
) -> dict[str, float]:
    """Returns by number, `at_once` at a time: returns a second, and CPU of worker and server per return."""
    gate = asyncio.Semaphore(at_once)
    before = cpu_seconds([worker]), cpu_seconds([servers.temporal_pid])
    started = time.perf_counter()

    async def one(number: int) -> None:
        async with gate:
            await run(number, 0.3)
            tick()

    await asyncio.gather(*(one(number) for number in numbers))
    spent = time.perf_counter() - started
    return {
        "returns_per_s": len(numbers) / spent,
        "worker_cpu": (cpu_seconds([worker]) - before[0]) / len(numbers),
        "server_cpu": (cpu_seconds([servers.temporal_pid]) - before[1]) / len(numbers),
    }


async def bench(folder: Path, paced: int, count: int, rounds: int, at_once: int) -> dict[str, Any]:
    """Run everything; the result as written to out/bench.json."""
    async with start_servers(folder) as servers:
        sides: dict[str, Ours | Yardstick] = {"ours": await Ours.make(servers), "bare": Yardstick(servers)}
        total = 2 * (paced + 2 + rounds * count)
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
        counts: dict[str, dict[str, Any]] = {}
        with Progress(console=Console(stderr=True), transient=not sys.stderr.isatty()) as progress:
            task = progress.add_task("returns", total=total)

            def tick() -> None:
                progress.advance(task)

            for name, side in sides.items():
                rows = []
                for number in range(paced + 2):
                    handle = await side.run(number, 0.5)
                    if number >= 2:  # the first ones pay for imports
                        rows.append(await history_of(handle))
                    tick()
                counts[name] = {**medians(rows), "kinds": rows[0]["kinds"]}
            for turn in range(rounds):
                for name, side in sides.items():
                    first = 1_000 * (turn + 1)
                    result = await loaded(servers, side.run, side.pid, range(first, first + count), at_once, tick)
                    measured[name].append(result)
    figures = {
        name: {**counts[name], **{key: median(r[key] for r in measured[name]) for key in measured[name][0]}}
        for name in sides
    }
    keys = ("events", "history_bytes", "actions", "returns_per_s", "worker_cpu", "server_cpu")
    ratios = {key: round(figures["ours"][key] / figures["bare"][key], 3) for key in keys}
    return {**figures, "ratios": ratios, "returns": count * rounds, "at_once": at_once}


def show(result: dict[str, Any]) -> None:
    """One table, ours beside bare."""
    table = Table(title="A straight lightning return against a bare workflow of the same shape")
    for heading in ("per return", "ours", "bare", "ratio"):
        table.add_column(heading, justify="left" if heading == "per return" else "right")
    units = {"worker_cpu": "worker CPU, ms", "server_cpu": "server CPU, ms", "returns_per_s": "returns a second"}
    for key, ratio in result["ratios"].items():
        scale = 1000 if key.endswith("cpu") else 1
        ours, bare = result["ours"][key] * scale, result["bare"][key] * scale
        digits = 1 if key.endswith(("cpu", "_s")) else 0
        table.add_row(
            units.get(key, key.replace("_", " ")), f"{ours:,.{digits}f}", f"{bare:,.{digits}f}", f"{ratio:.2f}"
        )
    Console().print(table)


def main() -> int:
    """0: within the targets. 1: too many events."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paced", type=int, default=5, help="returns counted event by event")
    parser.add_argument("--count", type=int, default=60, help="returns of one loaded round")
    parser.add_argument("--rounds", type=int, default=3, help="loaded rounds, ours and bare in turns")
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="backhaul-bench-") as folder:
        result = asyncio.run(bench(Path(folder), given.paced, given.count, given.rounds, given.at_once))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    show(result)
    ratio, events = result["ratios"]["events"], result["ours"]["events"]
    if ratio > EVENTS_RATIO or events > EVENTS_MAX:
        print(f"too many events: {events:.0f} (at most {EVENTS_MAX}), ratio {ratio} (at most {EVENTS_RATIO})")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
