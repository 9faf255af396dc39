"""What every test may ask for: the servers. They start when first asked for and live for the session."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.servers.temporal", "tests.servers.postgres"]

# The same examples everywhere and no deadline: a busy machine is no counter-example.
settings.register_profile("default", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("soak", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")
