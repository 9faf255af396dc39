"""`python -m backhaul.cli`."""

from __future__ import annotations

from backhaul.cli import app

app(prog_name="backhaul")
