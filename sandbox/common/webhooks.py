"""Signed webhooks, kept in the book until they are delivered."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
from typing import Any

import httpx2

from sandbox.common.book import Book, Row
from sandbox.common.clock import now_us
from sandbox.common.errors import Refusal
from sandbox.common.faults import Faults
from sandbox.common.party import Party
from sandbox.common.settings import PartySettings
from sandbox.common.tls import tls
from sandbox.common.wire import Body, Call, Nothing, Strict, Text

_log = logging.getLogger(__name__)
_PARALLEL = 8
SCHEMA = """
CREATE TABLE IF NOT EXISTS webhooks (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL,
  state TEXT NOT NULL, due_us INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, last_status INTEGER);
CREATE INDEX IF NOT EXISTS webhooks_due ON webhooks (state, due_us);
"""
_WAITING = "state IN ('pending', 'parked')"


class WebhookTarget(Strict):
    """Where webhooks go from now on; a null URL stops them."""

    url: Text | None
    secret: Text | None = None


def sign(secret: str, message_id: str, timestamp: int, body: str) -> str:
    """The `webhook-signature` of a message by Standard Webhooks, version 1. `timestamp` is in seconds."""
    key = base64.b64decode(secret.removeprefix("whsec_") + "==")
    digest = hmac.new(key, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


class Webhooks:
    """The outgoing webhooks: at least once each, retried with backoff, one at a time per subject.

    Faults: `lost` never leaves, `late` leaves later, `duplicate` leaves twice, `reordered` waits until another webhook
    of its subject has arrived (or its `ms` have passed).
    """

    def __init__(self, book: Book, faults: Faults, settings: PartySettings) -> None:
        self._book = book
        self._faults = faults
        self._settings = settings
        self._wake = asyncio.Event()
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        if settings.webhook_url is not None:
            self.point(WebhookTarget(url=settings.webhook_url, secret=settings.webhook_secret))

    def point(self, target: WebhookTarget) -> None:
        """Send to another URL from now on; a missing secret keeps the old one. Raises Refusal for a bad secret."""
        if target.secret is not None:
            self._book.set_meta("webhook_secret", _checked(target.secret))
        if target.url is not None and not self._book.meta("webhook_secret"):
            raise Refusal(422, "invalid_request", "a webhook URL needs a secret", field="secret")
        self._book.set_meta("webhook_url", target.url or "")

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def enqueue(self, event_id: str, subject: str, event_type: str, body: str, text: str) -> None:
        """Put a webhook into the queue, through the fault plan. Call inside a transaction."""
        if not self._book.meta("webhook_url"):
            return
        now = now_us()
        rules = {rule.kind: rule.delay_ms * 1000 for rule in self._faults.webhook(event_type, event_id, text)}
        if "lost_webhook" in rules:
            self._insert(event_id, subject, body, "lost", now)
        elif "late_webhook" in rules:
            self._insert(event_id, subject, body, "pending", now + rules["late_webhook"])
        elif "reordered_webhook" in rules:
            self._insert(event_id, subject, body, "parked", now + rules["reordered_webhook"])
        else:
            self._insert(event_id, subject, body, "pending", now)
            if "duplicate_webhook" in rules:
                self._insert(event_id, subject, body, "pending", now + rules["duplicate_webhook"])

    def deliveries(self) -> list[dict[str, Any]]:
        """Every webhook with its state: pending, parked, delivered, lost or given_up."""
        sql = "SELECT event_id, subject, state, attempts, last_status FROM webhooks ORDER BY seq"
        return [dict(row) for row in self._book.all(sql)]

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with httpx2.AsyncClient(timeout=self._settings.webhook_timeout_s, verify=tls()) as client:
            try:
                while True:
                    self._wake.clear()
                    self._start_deliveries(client)
                    await self._sleep()
            finally:
                for task in self._in_flight.values():
                    task.cancel()
                await asyncio.gather(*self._in_flight.values(), return_exceptions=True)

    def _insert(self, event_id: str, subject: str, body: str, state: str, due_us: int) -> None:
        sql = "INSERT INTO webhooks (event_id, subject, body, state, due_us) VALUES (?, ?, ?, ?, ?)"
        self._book.run(sql, event_id, subject, body, state, due_us)

    def _start_deliveries(self, client: httpx2.AsyncClient) -> None:
        if not self._book.meta("webhook_url"):
            return
        sql = f"SELECT * FROM webhooks WHERE {_WAITING} AND due_us <= ? ORDER BY due_us, seq LIMIT 100"  # noqa: S608
        for row in self._book.all(sql, now_us()):
            if len(self._in_flight) >= _PARALLEL:
                return
            if row["subject"] not in self._in_flight:
                self._in_flight[row["subject"]] = asyncio.create_task(self._deliver(client, row))

    async def _deliver(self, client: httpx2.AsyncClient, row: Row) -> None:
        try:
            status = await self._post(client, row["event_id"], row["body"])
            with self._book.transaction():
                if 200 <= status < 300:
                    self._delivered(row, status)
                else:
                    self._failed(row, status)
        except Exception:  # noqa: BLE001 - one broken piece must not stop the rest
            _log.exception("delivering %s failed", row["event_id"])
        finally:
            self._in_flight.pop(row["subject"], None)
            self._wake.set()

    async def _post(self, client: httpx2.AsyncClient, event_id: str, body: str) -> int:
        url, secret = self._book.meta("webhook_url"), self._book.meta("webhook_secret")
        if not url or not secret:
            return 0
        seconds = now_us() // 1_000_000
        headers = {
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": sign(secret, event_id, seconds, body),
        }
        try:
            response = await client.post(url, content=body.encode(), headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return 0
        return int(response.status_code)

    def _delivered(self, row: Row, status: int) -> None:
        sql = "UPDATE webhooks SET state = 'delivered', attempts = attempts + 1, last_status = ? WHERE seq = ?"
        self._book.run(sql, status, row["seq"])
        sql = "UPDATE webhooks SET due_us = 0 WHERE subject = ? AND state = 'parked' AND event_id <> ?"
        self._book.run(sql, row["subject"], row["event_id"])

    def _failed(self, row: Row, status: int) -> None:
        attempts = row["attempts"] + 1
        state = "given_up" if attempts >= self._settings.webhook_attempts else row["state"]
        backoff = min(self._settings.webhook_backoff_ms * 2 ** (attempts - 1), self._settings.webhook_backoff_max_ms)
        sql = "UPDATE webhooks SET state = ?, attempts = ?, last_status = ?, due_us = ? WHERE seq = ?"
        self._book.run(sql, state, attempts, status, now_us() + backoff * 1000, row["seq"])

    async def _sleep(self) -> None:
        seconds: float | None = None
        if self._book.meta("webhook_url"):
            busy = tuple(self._in_flight)
            marks = ", ".join("?" for _ in busy)
            sql = f"SELECT min(due_us) AS due_us FROM webhooks WHERE {_WAITING} AND subject NOT IN ({marks})"  # noqa: S608
            row = self._book.one(sql, *busy)
            if row is not None and row["due_us"] is not None and len(busy) < _PARALLEL:
                seconds = max(0.0, (row["due_us"] - now_us()) / 1_000_000)
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return


def add_webhooks(party: Party, webhooks: Webhooks) -> None:
    """Add to a party's control plane where its webhooks go, and how far they have come."""

    def point(call: Call[WebhookTarget]) -> Body:
        webhooks.point(call.body)
        return {"url": call.body.url}

    def deliveries(call: Call[Nothing]) -> Body:
        return {"webhooks": webhooks.deliveries()}

    party.control("/webhook", WebhookTarget, point)
    party.control("/webhooks", Nothing, deliveries, method="GET")


def _checked(secret: str) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_") + "==", validate=False)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or not key:
        raise Refusal(422, "invalid_request", "a secret is whsec_ and base64", field="secret")
    return secret
