"""Which script leads a booking, and which of its visits comes next."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Literal

from sandbox.common.book import Book
from sandbox.common.control_plane import keep_script, script_matching
from sandbox.courier.wire import DEFAULT_TRACKING, DemandAnswer, LineFinding, Script, Track, Visit


class Scripts:
    """The scripts of the courier, and how far each case has come in its own."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def keep(self, script: Script) -> None:
        """Take a script; its cases begin at its first visit."""
        keep_script(self._book, script.match, script)
        for row in self._book.all("SELECT case_ref FROM visits_used"):
            if fnmatchcase(row["case_ref"], script.match):
                self._book.run("DELETE FROM visits_used WHERE case_ref = ?", row["case_ref"])

    def refusal(self, cases: Sequence[str]) -> str | None:
        """The code that a new booking of these cases is refused with, consumed by asking."""
        for case in cases:
            script = self._of(case)
            used = self._used(case, "refusals")
            if script is not None and used < len(script.refuse):
                self._consume(case, "refusals")
                return script.refuse[used]
        return None

    def next_visit(self, cases: Sequence[str]) -> Visit:
        """The visit that a booking of these cases gets: from the first script there is. Nothing is consumed yet."""
        for case in cases:
            script = self._of(case)
            if script is not None:
                left = script.visits[self._used(case, "visits") :]
                visit = left[0] if left else Visit()
                return visit.model_copy(update={"hold": visit.hold or script.hold})
        return Visit()

    def findings(self, case: str) -> dict[str, LineFinding]:
        """What is found on the lines of `case`, by line id, when it is picked up: by its own script, else nothing."""
        script = self._of(case)
        left = script.visits[self._used(case, "visits") :] if script is not None else ()
        own = next((visit for visit in left if visit.outcome == "picked_up"), Visit())
        return own.inspection if isinstance(own.inspection, dict) else {}

    def visited(self, cases: Sequence[str]) -> None:
        """A visit was made: it is spent for each of these cases."""
        for case in cases:
            self._consume(case, "visits")

    def tracking(self, cases: Sequence[str]) -> tuple[Track, ...]:
        """The movements of a parcel of these cases."""
        return next((s.tracking for s in map(self._of, cases) if s and s.tracking is not None), DEFAULT_TRACKING)

    def returned_after_ms(self, cases: Sequence[str]) -> int:
        """How long a parcel takes back to the consumer, in milliseconds."""
        return next((s.returned_after_ms for s in map(self._of, cases) if s), 300)

    def demand(self, cases: Sequence[str]) -> DemandAnswer:
        """The answer to a demand for a parcel of these cases."""
        return next((s.demand for s in map(self._of, cases) if s and s.demand), DemandAnswer())

    def _of(self, case: str) -> Script | None:
        return script_matching(self._book, case, Script)

    def _used(self, case: str, what: Literal["visits", "refusals"]) -> int:
        row = self._book.one("SELECT * FROM visits_used WHERE case_ref = ?", case)
        return 0 if row is None else int(row[what])

    def _consume(self, case: str, what: Literal["visits", "refusals"]) -> None:
        used = {"visits": self._used(case, "visits"), "refusals": self._used(case, "refusals")}
        used[what] += 1
        sql = "INSERT OR REPLACE INTO visits_used VALUES (?, ?, ?)"
        self._book.run(sql, case, used["visits"], used["refusals"])
