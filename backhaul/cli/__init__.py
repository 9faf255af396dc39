"""The operators' command line: `backhaul --help`. Needs the extra `cli`."""

from __future__ import annotations

from backhaul.cli.app import app

__all__ = ["app"]
