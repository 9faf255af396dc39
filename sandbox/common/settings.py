"""What a party is started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class PartySettings:
    """The settings every party has.

    `book` is the SQLite file, made when it is missing. `seed` goes into every id the party gives out and into its
    fault plans, so that the same calls under the same keys give the same ids and the same faults. Courier and PSP send
    webhooks; without a URL they only answer questions. `webhook_secret` is `whsec_...`.
    """

    book: Path
    token: str
    control_token: str
    seed: int = 0
    name: str = "sandbox"
    webhook_url: str | None = None
    webhook_secret: str | None = None
    webhook_backoff_ms: int = 200
    webhook_backoff_max_ms: int = 10_000
    webhook_timeout_s: float = 10.0
    webhook_attempts: int = 30
