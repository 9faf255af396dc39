"""Every path as a story; one module a subject, all of them registered by importing this package."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from tests.workflows.scenarios.registry import SCENARIOS, Covered

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["SCENARIOS", "Covered"]
