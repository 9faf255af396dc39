"""How every command runs: coded errors become one line and an exit code."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from enum import IntEnum
from typing import Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console

from backhaul.errors import BackhaulError, Rejected, Transient, Unknown

T = TypeVar("T")

out = Console()
err = Console(stderr=True)


class Exit(IntEnum):
    """What a command's exit code means."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3


def exit_of(error: BackhaulError) -> Exit:
    """Exit code of a coded error: nothing to be had now is another thing than no."""
    return Exit.UNREACHABLE if isinstance(error, Transient | Unknown) else Exit.REFUSED


def fail(error: BackhaulError, *, as_json: bool) -> typer.Exit:
    """Say what went wrong, on stderr, and how the command ends."""
    if as_json:
        emit(problem_of(error), stderr=True)
    else:
        where = f" ({error.field})" if error.field else ""
        err.print(f"[red]{error.code}[/red]{where}: {error.message}", soft_wrap=True, highlight=False)
    return typer.Exit(exit_of(error))


def problem_of(error: BackhaulError) -> dict[str, object]:
    """A coded error as data."""
    return {"code": error.code, "message": error.message, "field": error.field}


def usage(text: str) -> typer.Exit:
    """The command was called wrongly."""
    err.print(f"[red]usage[/red]: {text}", soft_wrap=True, highlight=False)
    return typer.Exit(Exit.USAGE)


def run(work: Coroutine[Any, Any, T], *, as_json: bool) -> T:
    """Run a command's work; raises typer.Exit with the right code for every coded error."""
    try:
        return asyncio.run(work)
    except BackhaulError as error:
        raise fail(error, as_json=as_json) from None


def emit(value: object, *, stderr: bool = False) -> None:
    """One JSON document a line, for programs."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    print(json.dumps(plain, ensure_ascii=False, default=str), file=sys.stderr if stderr else sys.stdout)


def invalid(error: ValidationError, where: str) -> Rejected:
    """A message that does not fit its model, without quoting it."""
    first = error.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(piece) for piece in first["loc"])
    return Rejected("invalid_input", f"{where}: {first['msg']}", field=field or None)
