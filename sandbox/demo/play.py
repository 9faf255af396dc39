"""The play: orders imported, returns opened, everybody doing their part, until every case has ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.actors import Actors, Deed, World
from sandbox.demo.api import Refused
from sandbox.demo.board import Board
from sandbox.demo.books import Movement, Trial, journal, statements
from sandbox.demo.processes import ChildFailed
from sandbox.demo.stack import Stack
from sandbox.samples.rows import Sample, at, by_order

Json = dict[str, Any]
Step = Callable[[str, int, int], None]
"""Tells how far a stage has come: its name, done, of how many."""

AT_ONCE = 3
"""Callers at a time: more would only wait for each other on two cores."""
RECOVERIES_S = 120.0
CUT = "demo"


@dataclass(frozen=True)
class Told:
    """What the product and the parties say once everything has ended."""

    journal: list[Movement]
    statements: list[Movement]
    trial: Trial
    views: dict[str, Json]
    running_recoveries: int
    settlement: Json
    broken: list[str]
    """Invariants that the product's own look at its books finds broken."""


class Play:
    """One run of the samples."""

    def __init__(self, stack: Stack, samples: Sequence[Sample], step: Step) -> None:
        self._stack = stack
        self._samples = samples
        self._step = step
        self._done = {"orders": 0, "opened": 0}
        self._refused: dict[str, str] = {}
        self.crashed: list[str] = []
        self.board = Board(stack.product, stack.temporal)
        self.world = World(stack.books / "courier.db")
        self.actors = Actors(stack.product, self.world, stack.parties.courier_control, self.board.is_closed)

    @property
    def deeds(self) -> list[Deed]:
        """What came of every act."""
        return self.actors.deeds

    @property
    def refused(self) -> dict[str, str]:
        """Returns that could not be opened, and why."""
        return self._refused

    async def run(self, within_s: float) -> None:
        """Until every case is closed or parked, `within_s` after the last was opened at most.

        Errors of the watchers come out here."""
        watchers = [asyncio.create_task(self.world.watch()), asyncio.create_task(self.board.watch())]
        acting: list[asyncio.Task[None]] = []
        try:
            main = asyncio.create_task(self._until_all_ended(acting, within_s))
            watchers.append(main)
            done, _ = await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (*watchers, *acting):
                task.cancel()
            await asyncio.gather(*watchers, *acting, return_exceptions=True)

    async def _until_all_ended(self, acting: list[asyncio.Task[None]], within_s: float) -> None:
        groups = by_order(self._samples)
        gate = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._import(group[0], gate) for group in groups))
        await asyncio.gather(*(self._open(group, gate, acting) for group in groups))
        deadline = asyncio.get_running_loop().time() + within_s
        while asyncio.get_running_loop().time() < deadline:
            ended = sum(self.board.has_ended(sample) or sample.case in self._refused for sample in self._samples)
            self._step("ended", ended, len(self._samples))
            if ended == len(self._samples):
                return
            await asyncio.sleep(0.5)

    async def _import(self, sample: Sample, gate: asyncio.Semaphore) -> None:
        async with gate:
            await self._stack.product.import_order(at(sample.order, datetime.now(UTC)))
        self._done["orders"] += 1
        self._step("orders", self._done["orders"], len(by_order(self._samples)))

    async def _open(self, group: Sequence[Sample], gate: asyncio.Semaphore, acting: list[asyncio.Task[None]]) -> None:
        """Open the returns of one order one after another; those who act in them begin at once."""
        async with gate:
            now = datetime.now(UTC)
            for sample in group:
                try:
                    await self._stack.product.open(at(sample.open, now))
                except Refused as refused:
                    self._refused[sample.case] = str(refused)
                else:
                    acting.append(asyncio.create_task(self.actors.play(sample)))
                self._done["opened"] += 1
                self._step("opened", self._done["opened"], len(self._samples))

    async def recoveries(self) -> int:
        """Wait for the recoveries; how many have not ended."""
        return await self.board.recoveries_over(RECOVERIES_S)

    async def settle(self) -> Json:
        """Settle with every merchant. A command that crashed is asked again: the same cut is the same settlement."""
        settle = ("backhaul.cli", "settle", "--cut", CUT, "--wait", "--json")
        try:
            said = await self._stack.children.run("settle", *settle)
        except ChildFailed as failed:
            if failed.code is None or failed.code >= 0:
                raise
            self.crashed.append(f"settle ended with {failed.code}")
            said = await self._stack.children.run("settle-again", *settle)
        return _last_json(said)

    async def ask(self, settlement: Json, running: int) -> Told:
        """What both sides say now."""
        books = _last_json(await self._stack.children.run("reconcile", "store.reconcile", "--json"))
        gate = asyncio.Semaphore(AT_ONCE)
        views: dict[str, Json] = {}

        async def look(sample: Sample) -> None:
            async with gate:
                with suppress(Refused):
                    views[sample.case] = await self._stack.product.look(sample.merchant, sample.rma)

        await asyncio.gather(*(look(sample) for sample in self._samples))
        return Told(
            journal=journal(books["journal"]),
            statements=await statements(self._stack.parties),
            trial=books["trial_balance"],
            views=views,
            running_recoveries=running,
            settlement=settlement,
            broken=[
                f"{one['invariant']} {one['code']} {one['subject']}: {one['expected']}, is {one['found']}"
                for line in books["invariants"]
                for one in line["findings"]
            ],
        )


def _last_json(text: str) -> Json:
    """The last line of a command's output that is a JSON object."""
    lines = [line for line in text.splitlines() if line.startswith("{")]
    found: Json = json.loads(lines[-1])
    return found
