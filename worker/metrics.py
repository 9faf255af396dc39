"""Metrics: the SDK's own and a few of the product's, on one Prometheus address.

Product counters: `backhaul_steps` and `backhaul_effects`, by kind (the activity's name) and result (succeeded, the
error's code, or `bug`); `backhaul_findings` of the sweeper, by code.
"""

from __future__ import annotations

from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.declarations import DECLARED, Effect
from backhaul.errors import CODES

EFFECTS = frozenset(declared.name for declared in DECLARED if isinstance(declared, Effect))


def runtime_of(metrics_address: str | None) -> Runtime | None:
    """The SDK's runtime with its metrics on this address; None, the default one, without an address.

    Raises ValueError where the address cannot be bound."""
    if metrics_address is None:
        return None
    prometheus = PrometheusConfig(bind_address=metrics_address, counters_total_suffix=True, durations_as_seconds=True)
    return Runtime(telemetry=TelemetryConfig(metrics=prometheus))


class CountingInterceptor(Interceptor):
    """Counts what activities did."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """See the SDK."""
        return _Counting(next)


class _Counting(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        try:
            answer = await super().execute_activity(input)
        except Exception as error:
            _count(_result(error))
            raise
        _count("succeeded")
        return answer


def _result(error: Exception) -> str:
    """A code of ours or `bug`: a label has few values."""
    first = error.details[0] if isinstance(error, ApplicationError) and error.details else None
    code = first.get("code") if isinstance(first, dict) else None
    return str(code) if code in CODES else "bug"


def _count(result: str) -> None:
    kind = activity.info().activity_type
    name = "backhaul_effects" if kind in EFFECTS else "backhaul_steps"
    activity.metric_meter().create_counter(name, "Activities by kind and result").add(
        1, {"kind": kind, "result": result}
    )
