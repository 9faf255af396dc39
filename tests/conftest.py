"""What every test may ask for: the servers. They start when first asked for and live for the session."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

pytest_plugins = ["tests.servers.temporal", "tests.servers.postgres"]

# The same examples everywhere and no deadline: a busy machine is no counter-example. By itself Hypothesis also draws
# constants of whatever modules are imported by then: a seed would give other examples alone than after other tests.
providers._get_local_constants = Constants
settings.register_profile("default", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("soak", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Share the tests out between processes: a module's tests stay together, for the servers they share, unless it is
    `divided` into so many groups. Those, the long ones, come first, so that no process ends long after the others."""
    seen: Counter[str] = Counter()
    for item in items:
        module = item.nodeid.split("::")[0]
        divided = item.get_closest_marker("divided")
        part = "" if divided is None else f" {seen[module] % divided.args[0]}"
        item.add_marker(pytest.mark.xdist_group(f"{module}{part}"))
        seen[module] += 1
    items.sort(key=lambda item: item.get_closest_marker("divided") is None)
