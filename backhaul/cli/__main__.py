"""`python -m backhaul.cli`."""

from __future__ import annotations

from backhaul.cli import main

main()
