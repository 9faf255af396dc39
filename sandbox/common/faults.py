"""Fault plans: what goes wrong, decided by (seed, rule, key, attempt) and by nothing else.

The same plan over the same keys goes wrong in the same places, in whatever order the calls arrive.
"""

from __future__ import annotations

import hashlib
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sandbox.common.book import Book

Kind = Literal[
    "latency",
    "unavailable_before",
    "error_after",
    "timeout_after",
    "rate_limit",
    "duplicate_webhook",
    "late_webhook",
    "lost_webhook",
    "reordered_webhook",
]

_DEFAULT_MS: dict[str, int] = {
    "latency": 500,
    "timeout_after": 10_000,
    "duplicate_webhook": 50,
    "late_webhook": 2_000,
    "reordered_webhook": 5_000,
}


class Rule(BaseModel):
    """One rule of a plan. `times` bounds how often it fires per key; `ms` is milliseconds, `retry_after` seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    match: str = "*"
    key_contains: str | None = None
    probability: float = Field(default=1.0, ge=0, le=1)
    times: int | None = Field(default=None, ge=0)
    ms: int | None = Field(default=None, ge=0)
    retry_after: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _webhook_rules_match_webhooks(self) -> Rule:
        if self.on_webhooks != self.match.startswith("webhook") and self.match != "*":
            raise ValueError(f"{self.kind} cannot match {self.match!r}: webhook faults, and only they, match 'webhook'")
        return self

    @property
    def on_webhooks(self) -> bool:
        """Does the rule concern webhooks rather than requests?"""
        return self.kind.endswith("_webhook")

    @property
    def delay_ms(self) -> int:
        """`ms`, or the default of the kind."""
        return _DEFAULT_MS.get(self.kind, 0) if self.ms is None else self.ms

    def concerns(self, targets: tuple[str, ...], text: str) -> bool:
        """Does the rule look at any of `targets` ("POST /v1/refunds", "webhook pickup"; * and ? are wildcards)?"""
        if self.key_contains is not None and self.key_contains not in text:
            return False
        return any(target == self.match or fnmatchcase(target, self.match) for target in targets)


class Plan(BaseModel):
    """A seed and its rules, tried in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    rules: tuple[Rule, ...] = ()


class Faults:
    """The fault plan of one party. It is kept in the book, with its counters, so that a restart goes on with it."""

    def __init__(self, book: Book) -> None:
        self._book = book
        stored = book.meta("faults")
        self._plan = Plan.model_validate_json(stored) if stored else Plan(seed=book.seed)

    @property
    def plan(self) -> Plan:
        """The plan in force."""
        return self._plan

    def set(self, plan: Plan) -> None:
        """Replace the plan and start its counters and its log anew."""
        with self._book.transaction():
            self._book.set_meta("faults", plan.model_dump_json())
            self._book.run("DELETE FROM fault_uses")
            self._book.run("DELETE FROM fault_log")
        self._plan = plan

    def log(self) -> list[dict[str, object]]:
        """Every fault that fired, oldest first."""
        rows = self._book.all("SELECT rule, kind, target, key, attempt FROM fault_log ORDER BY seq")
        return [dict(row) for row in rows]

    def request(self, targets: tuple[str, ...], key: str) -> list[Rule]:
        """The faults of one request: any latencies, then at most one other."""
        return self._fired(targets, key, key, webhook=False)

    def webhook(self, event_type: str, event_id: str, text: str) -> list[Rule]:
        """The faults of one webhook, at most one. `text` is what `key_contains` is looked for in."""
        return self._fired(("webhook", f"webhook {event_type}"), event_id, text, webhook=True)

    def _fired(self, targets: tuple[str, ...], key: str, text: str, *, webhook: bool) -> list[Rule]:
        fired: list[Rule] = []
        for index, rule in enumerate(self._plan.rules):
            if rule.on_webhooks is not webhook or not rule.concerns(targets, text):
                continue
            if self._fires(index, rule, targets[0], key):
                fired.append(rule)
                if rule.kind != "latency":
                    break
        return fired

    def _fires(self, index: int, rule: Rule, target: str, key: str) -> bool:
        with self._book.transaction():
            uses = self._book.one("SELECT attempts, fired FROM fault_uses WHERE rule = ? AND key = ?", index, key)
            attempt, fired = (uses["attempts"] + 1, uses["fired"]) if uses else (1, 0)
            hit = (rule.times is None or fired < rule.times) and self._roll(index, key, attempt) < rule.probability
            self._book.run("INSERT OR REPLACE INTO fault_uses VALUES (?, ?, ?, ?)", index, key, attempt, fired + hit)
            if hit:
                sql = "INSERT INTO fault_log (rule, kind, target, key, attempt) VALUES (?, ?, ?, ?, ?)"
                self._book.run(sql, index, rule.kind, target, key, attempt)
        return hit

    def _roll(self, index: int, key: str, attempt: int) -> float:
        digest = hashlib.sha256(f"{self._plan.seed}|{index}|{key}|{attempt}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64
