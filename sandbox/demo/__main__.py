"""`python -m sandbox.demo`: play the sample returns against the whole product, and check every fen.

0: all ended as declared and reconciles; 1: something did not; 2: something could not be started. `--plant one-fen`
is a self-test of the reconciliation: it falsifies a statement by one fen, and the demo must then end with 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from sandbox.demo import plant, seeding
from sandbox.demo.play import Play
from sandbox.demo.processes import ChildFailed
from sandbox.demo.show import Stages, show
from sandbox.demo.stack import Stack, running
from sandbox.demo.verdict import summarise
from sandbox.samples.rows import Sample, load
from sandbox.servers import BinaryMissing

ROOT = Path(__file__).resolve().parents[2]
MARK = ".backhaul-demo"
"""A folder with this file in it is ours to empty."""

OTHER_BOOK = "2025-05"
"""What the demo's own returns are decided again by, at its end."""
Json = dict[str, Any]


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.demo", description=__doc__)
    parser.add_argument("--stay", action="store_true", help="keep everything running until Ctrl-C")
    parser.add_argument("--samples", type=Path, default=ROOT / "samples" / "returns.jsonl", help="the returns to play")
    parser.add_argument("--twice", action="store_true", help="play every return twice, under other ids")
    parser.add_argument("--plant", choices=["one-fen"], help="falsify a statement: the demo must fail")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "demo", help="folder of databases and logs, emptied")
    parser.add_argument("--seed", type=int, default=7, help="of ids and faults")
    parser.add_argument("--within", type=float, default=90.0, help="seconds for the last return to end")
    return parser.parse_args(arguments)


async def demo(wanted: argparse.Namespace, console: Console) -> int:
    """Run it. Raises ChildFailed, BinaryMissing, OSError for what could not be started or did not last."""
    began = time.monotonic()
    samples = load(wanted.samples, twice=wanted.twice)
    folder = fresh(wanted.out)
    console.print(f"starting Temporal, courier, payment provider, insurer, API and worker in {folder}", soft_wrap=True)
    async with running(folder, (sample.merchant for sample in samples), wanted.seed) as stack:
        console.print(f"Temporal UI {stack.ui_url}, API {stack.api_url}/docs", soft_wrap=True)
        playing = asyncio.create_task(_play(stack, samples, wanted, console, began))
        dying = asyncio.create_task(stack.children.first_to_end())
        try:
            await asyncio.wait([playing, dying], return_when=asyncio.FIRST_COMPLETED)
            if dying.done():
                raise dying.result()
            code = playing.result()
            if wanted.stay:
                _invite(stack, console)
                raise await dying
            return code
        finally:
            for task in (playing, dying):
                task.cancel()
            await asyncio.gather(playing, dying, return_exceptions=True)


async def _play(stack: Stack, samples: list[Sample], wanted: argparse.Namespace, console: Console, began: float) -> int:
    times = {"started": time.monotonic() - began}
    await seeding.seed(stack.parties, samples, datetime.now(UTC), wanted.seed)
    with Stages(console) as stages:
        play = Play(stack, samples, stages.step)
        await play.run(wanted.within)
    times["ended"] = time.monotonic() - began
    console.print("waiting for recoveries, settling with every merchant, comparing the books")
    recovering = await play.recoveries()
    times["recovered"] = time.monotonic() - began
    faults = Counter(await seeding.fired(stack.parties))
    await seeding.calm(stack.parties)
    settlement = await play.settle()
    times["settled"] = time.monotonic() - began
    faults.update(await seeding.fired(stack.parties, "psp"))
    if wanted.plant:
        console.print(f"planted: one fen more on {plant.one_fen(stack.books)}", markup=False)
    told = await play.ask(settlement, recovering)
    await play.board.look()
    summary = summarise(stack, samples, told, play.board, play.deeds, play.refused)
    events = await play.board.history_events()
    summary |= {
        "backtest": await stack.product.retry(OTHER_BOOK),
        "history_events_median": events["median"],
        "history_events": events,
        "crashed_commands": play.crashed,
        "faults": dict(sorted(faults.items())),
        "seconds": round(time.monotonic() - began, 1),
        "seconds_until": {stage: round(seconds, 1) for stage, seconds in times.items()},
        "cpu_seconds": stack.children.cpu_seconds() | {"demo": round(time.process_time(), 1)},
    }
    (stack.folder / "summary.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False), encoding="utf-8")
    show(console, summary)
    if summary["ui_links"] and not wanted.stay:
        console.print(
            "parked cases end here with all else; `make up` keeps it running, to look and to free", soft_wrap=True
        )
    return 0 if summary["ok"] else 1


def _invite(stack: Stack, console: Console) -> None:
    """Where to look, with which tokens, how to end."""
    running_file = stack.folder / "running.json"
    running_file.touch(mode=0o600)
    tokens = {f"{role} of {merchant}" if merchant else role: token for (role, merchant), token in stack.tokens.items()}
    running_file.write_text(json.dumps({"api": stack.api_url, "ui": stack.ui_url, "tokens": tokens}), encoding="utf-8")
    console.print(f"\nTemporal UI  {stack.ui_url}\nAPI          {stack.api_url}/docs", markup=False)
    for name, token in tokens.items():
        console.print(f"  {name:<28} {token}", markup=False, highlight=False)
    console.print(f"kept in {running_file}; everything runs until Ctrl-C", markup=False, soft_wrap=True)


def fresh(folder: Path) -> Path:
    """An empty folder of ours, out of version control. Raises FileExistsError for one that is not ours to empty."""
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise FileExistsError(f"{folder} is not empty and not from an earlier demo; name another with --out")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    return folder


async def _until_signalled(wanted: argparse.Namespace, console: Console) -> int:
    """SIGTERM and Ctrl-C end everything in order."""
    task = asyncio.create_task(demo(wanted, console))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        return await task
    console.print("ended")
    return 0 if wanted.stay else 130


def main() -> int:
    """Run it and say what went wrong, if anything."""
    wanted, console = options(), Console()
    try:
        return asyncio.run(_until_signalled(wanted, console))
    except (ChildFailed, BinaryMissing, OSError) as error:
        console.print(str(error), markup=False, highlight=False, style="red", soft_wrap=True)
        return 2


if __name__ == "__main__":
    sys.exit(main())
