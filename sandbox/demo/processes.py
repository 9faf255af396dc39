"""Child processes: each in its own group with its own log, watched while they run, always ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

TAIL_LINES = 25
GRACE_S = 12.0


class ChildFailed(RuntimeError):
    """A child process ended, or did not answer; the text has the end of its log. `code`: how it ended, if it did."""

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


class Child:
    """One running program."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @property
    def ended(self) -> int | None:
        """Its exit code, once it has ended."""
        return self._process.returncode

    def cpu_seconds(self) -> float | None:
        """Processor time it has used so far, where the system tells (Linux)."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return None
        return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 1)

    async def wait(self) -> int:
        """Until it ends."""
        return await self._process.wait()

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])

    def failed(self, what: str) -> ChildFailed:
        """An error that shows the end of the log."""
        return ChildFailed(f"{self.name} {what}; the end of {self.log}:\n{self.tail()}", self.ended)

    async def stop(self) -> None:
        """Ask it to end, then make it. Its group goes with it. Safe to call twice."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), GRACE_S)
                if number is signal.SIGTERM:
                    continue
        await self._process.wait()


class Children:
    """All children of this demo. An async context manager: on the way out, whatever happened, nothing is left."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._running: list[Child] = []

    async def __aenter__(self) -> Children:
        return self

    async def __aexit__(self, *_: object) -> None:
        for some in (self._running[1:], self._running[:1]):
            await asyncio.gather(*(child.stop() for child in reversed(some)))

    async def start(self, name: str, *command: str, more: Mapping[str, str] | None = None) -> Child:
        """Start a program and watch it. The first one started is ended last: the others need it."""
        child = await self._spawn(name, command, more or {})
        self._running.append(child)
        return child

    async def run(self, name: str, *arguments: str, more: Mapping[str, str] | None = None) -> str:
        """Run `python -m` with these arguments to its end; its output. Raises ChildFailed for another end than 0."""
        out = self._folder / "logs" / f"{name}.out"
        child = await self._spawn(name, (sys.executable, "-m", *arguments), more or {}, out)
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            await child.stop()
            raise
        if code:
            raise child.failed(f"ended with {code}")
        return out.read_text(encoding="utf-8")

    def cpu_seconds(self) -> dict[str, float | None]:
        """Processor time of each running child."""
        return {child.name: child.cpu_seconds() for child in self._running}

    async def first_to_end(self) -> ChildFailed:
        """Wait until any child ends by itself, which none should."""
        ends = {asyncio.create_task(child.wait()): child for child in self._running}
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
        child = ends[done.pop()]
        return child.failed(f"ended with {child.ended}")

    async def _spawn(
        self, name: str, command: Sequence[str], more: Mapping[str, str], out: Path | None = None
    ) -> Child:
        log = self._folder / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors, (out or log).open("wb" if out else "ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=self._environment | dict(more),
                start_new_session=True,
            )
        return Child(name, process, log)
