"""Consumers and merchants: they see the physical world and act through the product's public API only.

What was booked, scanned and delivered they know from the courier's own book, as people know it from their own door;
when the product hears of it is the product's affair, so what comes too early for it is simply tried again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from sandbox.control import CourierControl
from sandbox.demo.api import Product, Refused
from sandbox.samples.rows import Sample

Json = dict[str, Any]

TOO_EARLY = frozenset({"not_waiting", "not_delivered", "no_finding", "no_offer"})
"""Codes with which the product says that it does not know yet what the actor knows."""
LOOK_EVERY_S = 0.2
PATIENCE_S = 45.0
_SQL = """SELECT case_ref, waybill, removed, collected, state FROM items JOIN waybills USING (waybill)"""


@dataclass
class Seen:
    """What the courier's book says of all cases ("merchant/rma") now."""

    booked: set[str] = field(default_factory=set)
    scanned: set[str] = field(default_factory=set)
    delivered: set[str] = field(default_factory=set)
    ever: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    aboard: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    waybill: dict[str, str] = field(default_factory=dict)


class World:
    """The physical world, read from the courier's book a few times a second, for everybody together."""

    def __init__(self, book: Path) -> None:
        self._book = book
        self._tick = asyncio.Event()
        self.seen = Seen()

    async def watch(self) -> None:
        """Look until cancelled."""
        with closing(sqlite3.connect(f"file:{self._book}?mode=ro", uri=True, timeout=5)) as book:
            while True:
                self.seen = _seen(book.execute(_SQL).fetchall())
                tick, self._tick = self._tick, asyncio.Event()
                tick.set()
                await asyncio.sleep(LOOK_EVERY_S)

    async def until(self, true: Callable[[Seen], bool], gone: Callable[[], bool]) -> bool:
        """Wait until something is so. False: `gone` came first."""
        while not true(self.seen):
            if gone():
                return False
            await self._tick.wait()
        return True


def _seen(rows: list[Any]) -> Seen:
    seen = Seen()
    for case, waybill, removed, collected, state in rows:
        seen.booked.add(case)
        seen.ever[waybill].add(case)
        if removed:
            continue
        seen.aboard[waybill].add(case)
        if state not in ("void",):
            seen.waybill[case] = waybill
        if collected:
            seen.scanned.add(case)
            if state == "delivered":
                seen.delivered.add(case)
    return seen


@dataclass(frozen=True)
class Deed:
    """What came of one act: `done`, the code it was refused with, or `not needed`. `fits`: as the sample says."""

    case: str
    act: str
    result: str
    fits: bool


class Actors:
    """Plays the parties of samples. `closed` tells whether a case ("merchant/rma") is over."""

    def __init__(self, product: Product, world: World, courier: CourierControl, closed: Callable[[str], bool]) -> None:
        self._product = product
        self._world = world
        self._courier = courier
        self._closed = closed
        self.deeds: list[Deed] = []

    async def play(self, sample: Sample) -> None:
        """All acts of one sample, each at its time."""
        await asyncio.gather(*(self._act(sample, number, act) for number, act in enumerate(sample.actors)))

    async def _act(self, sample: Sample, number: int, act: Json) -> None:
        result = "not needed"
        if await self._time_has_come(sample, act):
            await asyncio.sleep(act["delay_ms"] / 1000)
            try:
                result = await self._do(sample, number, act)
            except httpx2.HTTPError as error:
                result = type(error).__name__
        wanted = act.get("refused")
        fits = result == wanted if wanted else result in ("done", "not needed", "return_closed", "already_decided")
        self.deeds.append(Deed(sample.case, act["send"], result, fits))

    async def _time_has_come(self, sample: Sample, act: Json) -> bool:
        case, after = sample.case, act["after"]
        if act["send"] == "release":
            return await self._until(case, lambda seen: _together(seen, sample, act["body"]))
        match after:
            case "open":
                return True
            case "booked":
                return await self._until(case, lambda seen: case in seen.booked)
            case "scan":
                return await self._until(case, lambda seen: case in seen.scanned)
            case "delivered":
                return await self._until(case, lambda seen: case in seen.delivered)
            case "transit":
                return await self._until(case, lambda seen: case in seen.scanned) and await self._told(sample)
            case _:
                raise ValueError(f"{sample.name}: nothing is called {after!r}")

    async def _until(self, case: str, true: Callable[[Seen], bool]) -> bool:
        return await self._world.until(true, lambda: self._closed(case))

    async def _told(self, sample: Sample) -> bool:
        """Until the product itself knows of the scan."""
        while not self._closed(sample.case):
            view = await self._product.look(sample.merchant, sample.rma)
            if view["regions"].get("logistics") in ("picked_up", "in_transit", "delivered", "receipt_confirmed"):
                return True
            await asyncio.sleep(0.5)
        return False

    async def _do(self, sample: Sample, number: int, act: Json) -> str:
        """Send it, again while it is too early. `done`, or the code of the refusal."""
        if act["send"] == "release":
            await self._courier.release(sample.case)
            return "done"
        if act["send"] == "provide_waybill":
            await self._post_parcel(sample)
        key = f"{sample.rma}-{act['send']}-{number}"
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        pause = 0.3
        while True:
            try:
                await self._product.send(act["as"], sample.merchant, sample.rma, act["send"], act["body"], key)
                return "done"
            except Refused as refused:
                late = asyncio.get_running_loop().time() > deadline
                if refused.code not in TOO_EARLY or refused.code == act.get("refused") or late:
                    return refused.code
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 1.5)

    async def _post_parcel(self, sample: Sample) -> None:
        """The consumer hands the parcel in: only then there is a waybill."""
        parcel = dict(sample.parties["self_ship"])
        items = [f"{sample.case}/{line['line_id']}" for line in sample.open["lines"]]
        await self._courier.self_ship(parcel.pop("waybill"), items, **parcel)


def _together(seen: Seen, sample: Sample, body: Json) -> bool:
    """Have all cases of a shared pickup joined, and those left that leave?"""
    waybill = seen.waybill.get(sample.case)
    if waybill is None:
        return False
    everybody = {f"{sample.merchant}/{rma}" for rma in body["all"]}
    staying = {f"{sample.merchant}/{rma}" for rma in body["aboard"]}
    return everybody <= seen.ever[waybill] and seen.aboard[waybill] == staying
