"""What corrections do, one module a kind: each takes the desk and gives one word for how it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from backhaul.corrections import CorrectionKind
from workflows.correction_run import CorrectionRun

Kind = Callable[[CorrectionRun], Awaitable[str]]

KINDS: Mapping[CorrectionKind, Kind] = {}
"""The story of each kind that this worker knows."""
