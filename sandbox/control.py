"""A client for the parties' control planes and statements, for the demo and the tests."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx2

from sandbox.common.tls import tls

Json = dict[str, Any]


class Control:
    """The control plane of one party at `url`. `token` (of the public API) is needed for the statement only.

    Use it as an async context manager, or close it with `aclose`. A refusal raises httpx2.HTTPStatusError.
    """

    def __init__(self, url: str, control_token: str, token: str = "") -> None:
        self.url = url
        self._token = token
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {control_token}"},
            timeout=60,
            trust_env=False,
            verify=tls(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def post(self, path: str, body: Json | None = None) -> Json:
        """POST to `/_control/{path}`."""
        response = await self._client.post(f"/_control/{path}", json=body or {})
        response.raise_for_status()
        answer: Json = response.json()
        return answer

    async def get(self, path: str, **query: Any) -> Json:
        """GET from `/_control/{path}`."""
        response = await self._client.get(f"/_control/{path}", params=query)
        response.raise_for_status()
        answer: Json = response.json()
        return answer

    async def reset(self) -> None:
        """Empty the party's book, its scripts and its faults."""
        await self.post("reset")

    async def seed(self, seed: int) -> None:
        """Give out ids from another seed."""
        await self.post("seeds", {"seed": seed})

    async def faults(self, *rules: Json, seed: int = 0) -> None:
        """Replace the fault plan; without rules nothing goes wrong any more."""
        await self.post("faults", {"seed": seed, "rules": list(rules)})

    async def fired(self) -> list[Json]:
        """The faults that fired, oldest first: rule, kind, target, key, attempt."""
        fired: list[Json] = (await self.get("faults"))["fired"]
        return fired

    async def script(self, match: str, **script: Any) -> None:
        """Say what happens to what `match` fits."""
        await self.post("scripts", {"match": match, **script})

    async def statement(self) -> list[Json]:
        """The whole statement of the party."""
        rows: list[Json] = []
        since: int | None = 0
        while since is not None:
            page = await self._statement_page(since)
            rows += page["rows"]
            since = page["next"]
        return rows

    async def _statement_page(self, since: int) -> Json:
        response = await self._client.get(
            "/v1/statement", params={"since": since, "limit": 1000}, headers={"authorization": f"Bearer {self._token}"}
        )
        response.raise_for_status()
        page: Json = response.json()
        return page


class Telling(Control):
    """The control plane of a party that sends webhooks."""

    async def webhook(self, url: str | None, secret: str | None = None) -> None:
        """Send webhooks to `url` from now on; None stops them."""
        await self.post("webhook", {"url": url, "secret": secret})

    async def webhooks(self) -> list[Json]:
        """Every webhook and how far it has come."""
        rows: list[Json] = (await self.get("webhooks"))["webhooks"]
        return rows


class CourierControl(Telling):
    """The courier's control plane."""

    async def release(self, match: str) -> int:
        """Let held work of a case, waybill, booking or claim go on; how much there was."""
        return int((await self.post("release", {"match": match}))["released"])

    async def self_ship(self, waybill: str, items: list[str], **parcel: Any) -> None:
        """Register a parcel that a consumer posted (`tracking`, `proven_freight`)."""
        await self.post("self_ship", {"waybill": waybill, "items": items, **parcel})


class PspControl(Telling):
    """The payment provider's control plane."""

    async def payment(self, payment_id: str, amount: int, currency: str, *, payee: str, payer: str) -> None:
        """Capture a payment; `amount` in minor units."""
        body = {"payment_id": payment_id, "amount": amount, "currency": currency, "payee": payee, "payer": payer}
        await self.post("payments", body)

    async def account(self, payee: str, state: str) -> None:
        """Make a payee's account `abnormal` or `normal`."""
        await self.post("accounts", {"payee": payee, "state": state})

    async def payer(self, payer: str, state: str) -> None:
        """Make the account that a payer's refunds are paid from `short`, `funded`, or `closed` by the channel."""
        await self.post("payers", {"payer": payer, "state": state})

    async def bounce(self, key: str) -> None:
        """Let a refund that succeeded come back."""
        await self.post("bounces", {"key": key})


class InsurerControl(Control):
    """The insurer's control plane."""

    async def coverage(self, **coverage: Any) -> None:
        """Bind a cover: coverage_id, order_id, kind, sum_insured, currency, premium, declared, bound_at, book."""
        await self.post("coverages", coverage)


class NoticesControl(Control):
    """The control plane of the inbox, and what it has delivered."""

    async def delivered(self, subject: str) -> list[Json]:
        """The notices on one case, `merchant/rma`, oldest first."""
        response = await self._client.get(
            "/v1/notices", params={"subject": subject}, headers={"authorization": f"Bearer {self._token}"}
        )
        response.raise_for_status()
        notices: list[Json] = response.json()["notices"]
        return notices
