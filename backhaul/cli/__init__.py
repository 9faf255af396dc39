"""The operators' command line: `backhaul --help`. Needs the extra `cli`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from backhaul.cli import disputes
from backhaul.cli.app import app

__all__ = ["app", "disputes", "main"]


def main() -> NoReturn:
    """Run one command and leave at once with its exit code.

    The SDK's own threads may still run when the work is done and printed; the interpreter's teardown under them has
    ended in a segmentation fault."""
    code = 0
    try:
        app(prog_name="backhaul")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
