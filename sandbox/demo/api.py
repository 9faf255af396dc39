"""The product's public API, as services, merchants and consumers call it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx2

Json = dict[str, Any]

ATTEMPTS = 8
_AGAIN = frozenset({429, 502, 503, 504})


class Refused(Exception):
    """The product said no, with a code."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code


class Product:
    """The API at `url`. `tokens` are found by role, for consumers and merchants by (role, merchant)."""

    def __init__(self, url: str, tokens: Mapping[tuple[str, str | None], str]) -> None:
        self.url = url
        self._tokens = tokens
        self._client = httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def import_order(self, order: Json) -> Json:
        """Import an order; the same again changes nothing."""
        return await self._call("POST", "/v1/orders", "service", body=order)

    async def open(self, request: Json) -> Json:
        """Open a return and get its first decision."""
        key = f"demo-{request['merchant_id']}-{request['rma_id']}"
        return await self._call("POST", "/v1/returns", "service", body=request, key=key)

    async def send(self, role: str, merchant: str, rma: str, update: str, body: Json, key: str) -> Json:
        """One update, in the name of its role."""
        query = None if role in ("consumer", "merchant") else {"merchant_id": merchant}
        bound = merchant if query is None else None
        return await self._call("POST", f"/v1/returns/{rma}/{update}", role, bound, body=body, key=key, query=query)

    async def look(self, merchant: str, rma: str) -> Json:
        """One return as it is now."""
        return await self._call("GET", f"/v1/returns/{rma}", "service", query={"merchant_id": merchant})

    async def cases(self) -> list[Json]:
        """Every return in the read model, newest first."""
        found: list[Json] = []
        after: str | None = None
        while True:
            query = {"limit": "200"} | ({"after": after} if after else {})
            page = await self._call("GET", "/v1/returns", "service", query=query)
            found += page["cases"]
            after = page["next"]
            if not after:
                return found

    async def retry(self, against: str) -> Json:
        """Every return decided again by another policy book: how many, how many differ, by which decisive rules."""
        total: Json = {"against": against, "looked": 0, "differ": 0, "unknown": 0, "rules": {}, "money": {}}
        after: str | None = None
        while True:
            query = {"against": against, "differing": "true"} | ({"after": after} if after else {})
            page = await self._call("GET", "/v1/backtests", "auditor", query=query)
            total["looked"] += page["looked"]
            for case in page["cases"]:
                _count(total, case)
            after = page["next"]
            if not after:
                return total

    async def _call(
        self, method: str, path: str, role: str, merchant: str | None = None, *, body: Json | None = None,
        key: str | None = None, query: Mapping[str, str] | None = None,
    ) -> Json:  # fmt: skip
        """Call, and again while the other side asks for patience. Raises Refused for a no, httpx2 errors in the end."""
        headers = {"authorization": f"Bearer {self._tokens[role, merchant]}"}
        if key is not None:
            headers["idempotency-key"] = key
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = await self._client.request(method, path, headers=headers, json=body, params=query)
            except httpx2.HTTPError:
                if attempt == ATTEMPTS:
                    raise
            else:
                if answer.status_code not in _AGAIN or attempt == ATTEMPTS:
                    return _read(answer)
            await asyncio.sleep(min(0.2 * 2**attempt, 2.0))
        raise AssertionError("unreachable")


def _count(total: Json, case: Json) -> None:
    """One case that differs, by the API's own words."""
    before, after = case["before"], case["after"]
    if (before["known"], after["known"]) != ("known", "known"):
        total["unknown"] += 1
        return
    total["differ"] += 1
    rule = case["rules"][0] if case["rules"] else ""
    total["rules"][rule] = total["rules"].get(rule, 0) + 1
    for name in ("refund", "indemnity", "freight_insurer", "freight_merchant", "freight_consumer"):
        change = after[name]["minor"] - before[name]["minor"]
        if change:
            key = f"{name} {after[name]['currency']}"
            total["money"][key] = total["money"].get(key, 0) + change


def _read(answer: httpx2.Response) -> Json:
    try:
        body: Json = answer.json()
    except ValueError:
        body = {}
    if answer.status_code < 400:
        return body
    raise Refused(answer.status_code, str(body.get("code", "")), str(body.get("detail", answer.text[:200])))
