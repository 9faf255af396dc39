"""The task that does planned work when its time has come."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.common.book import Book
from sandbox.common.clock import now_us

_log = logging.getLogger(__name__)

Work = Callable[[str, dict[str, Any]], None]


class DueRunner:
    """Runs planned work, each piece in one transaction with its removal from the plan: done exactly once.

    Work takes the subject and the payload it was planned with. Work that raises is tried again a second later.
    """

    def __init__(self, book: Book, work: Mapping[str, Work], *, done: Callable[[], None]) -> None:
        self._book = book
        self._work = work
        self._done = done
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at the plan now: something was planned or released."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._wake.clear()
            worked = self._run_due()
            if worked:
                self._done()
            await self._sleep(0.0 if worked else self._seconds_to_next())

    def _run_due(self) -> bool:
        sql = "SELECT * FROM due WHERE held = 0 AND at_us <= ? ORDER BY at_us, id LIMIT 20"
        rows = self._book.all(sql, now_us())
        for row in rows:
            try:
                with self._book.transaction():
                    if self._book.run("DELETE FROM due WHERE id = ?", row["id"]):
                        self._work[row["kind"]](row["subject"], json.loads(row["payload"]))
            except Exception:  # noqa: BLE001 - one broken piece must not stop the rest
                _log.exception("planned work %s of %s failed", row["kind"], row["subject"])
                self._book.run("UPDATE due SET at_us = ? WHERE id = ?", now_us() + 1_000_000, row["id"])
        return bool(rows)

    def _seconds_to_next(self) -> float | None:
        row = self._book.one("SELECT min(at_us) AS at_us FROM due WHERE held = 0")
        if row is None or row["at_us"] is None:
            return None
        return max(0.0, (int(row["at_us"]) - now_us()) / 1_000_000)

    async def _sleep(self, seconds: float | None) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return
