"""The configured gateways: made once per worker process, inside its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx2

from backhaul.errors import Rejected
from gateways.couriers.sandbox import mapping as courier_mapping
from gateways.couriers.sandbox.client import SandboxCourier
from gateways.http import TIMEOUT_S, Http
from gateways.insurers.sandbox import mapping as insurer_mapping
from gateways.insurers.sandbox.client import SandboxInsurer
from gateways.notices.sandbox import mapping as notice_mapping
from gateways.notices.sandbox.client import SandboxNotices
from gateways.payments.sandbox import mapping as payment_mapping
from gateways.payments.sandbox.client import SandboxPayments
from gateways.ports import CourierGateway, InsurerGateway, NoticeGateway, PaymentGateway

SANDBOX = "sandbox"


@dataclass(frozen=True)
class Endpoint:
    """Where a provider is and how to speak to it. `adapter` names one of the adapters below."""

    url: str
    token: str = field(repr=False)
    adapter: str = SANDBOX
    timeout_s: float = TIMEOUT_S
    transport: httpx2.AsyncBaseTransport | None = field(default=None, repr=False)
    """How bytes travel; None: over sockets."""


@dataclass(frozen=True)
class GatewaySettings:
    """All providers. Couriers by the name that policy books and payees (`courier:<name>`) use."""

    couriers: Mapping[str, Endpoint]
    payments: Endpoint
    insurer: Endpoint
    notices: Endpoint
    payments_name: str = "psp"
    insurer_name: str = "insurer"
    notices_name: str = "notices"


@dataclass(frozen=True)
class Gateways:
    """The providers of this process."""

    couriers: Mapping[str, CourierGateway]
    payments: PaymentGateway
    insurer: InsurerGateway
    notices: NoticeGateway

    def courier(self, name: str) -> CourierGateway:
        """The courier of this name. Raises Rejected(`provider_rejected`) when it is not configured here."""
        try:
            return self.couriers[name]
        except KeyError:
            raise Rejected("provider_rejected", f"no courier is configured under the name {name!r}") from None

    async def aclose(self) -> None:
        """Close all connections."""
        everyone = (*self.couriers.values(), self.payments, self.insurer, self.notices)
        await asyncio.gather(*(provider.aclose() for provider in everyone))


def _http(endpoint: Endpoint, codes: Mapping[str, str]) -> Http:
    return Http(endpoint.url, endpoint.token, timeout_s=endpoint.timeout_s, codes=codes, transport=endpoint.transport)


def _sandbox_courier(name: str, endpoint: Endpoint) -> CourierGateway:
    return SandboxCourier(name, _http(endpoint, courier_mapping.CODES))


def _sandbox_payments(name: str, endpoint: Endpoint) -> PaymentGateway:
    return SandboxPayments(name, _http(endpoint, payment_mapping.CODES))


def _sandbox_insurer(name: str, endpoint: Endpoint) -> InsurerGateway:
    return SandboxInsurer(name, _http(endpoint, insurer_mapping.CODES))


def _sandbox_notices(name: str, endpoint: Endpoint) -> NoticeGateway:
    return SandboxNotices(name, _http(endpoint, notice_mapping.CODES))


COURIERS: Mapping[str, Callable[[str, Endpoint], CourierGateway]] = {SANDBOX: _sandbox_courier}
PAYMENTS: Mapping[str, Callable[[str, Endpoint], PaymentGateway]] = {SANDBOX: _sandbox_payments}
INSURERS: Mapping[str, Callable[[str, Endpoint], InsurerGateway]] = {SANDBOX: _sandbox_insurer}
NOTICES: Mapping[str, Callable[[str, Endpoint], NoticeGateway]] = {SANDBOX: _sandbox_notices}
"""Adapters by name. A new provider is a package beside `sandbox` and a line here."""


def build(settings: GatewaySettings) -> Gateways:
    """The gateways of these settings. Raises ValueError for an adapter that does not exist."""
    payments, insurer, notices = settings.payments, settings.insurer, settings.notices
    try:
        return Gateways(
            couriers={name: COURIERS[each.adapter](name, each) for name, each in settings.couriers.items()},
            payments=PAYMENTS[payments.adapter](settings.payments_name, payments),
            insurer=INSURERS[insurer.adapter](settings.insurer_name, insurer),
            notices=NOTICES[notices.adapter](settings.notices_name, notices),
        )
    except KeyError as exc:
        raise ValueError(f"no adapter is called {exc.args[0]!r}") from exc
