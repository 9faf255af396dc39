"""Settings of the API: BACKHAUL_* variables; blank means unset. Temporal's own are the standard TEMPORAL_* ones."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from backhaul.facts import Token
from backhaul.names import Role
from worker.settings import BaseWorkerSettings

BOUND = {Role.CONSUMER, Role.MERCHANT}
"""Roles whose tokens are always of one merchant."""


class TokenEntry(BaseModel):
    """One bearer token: whose it is and what it may do. `merchant_id` binds it to one merchant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: SecretStr
    role: Role
    identity: Token
    merchant_id: Token | None = None

    @field_validator("token")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 16:
            raise ValueError("a token has at least 16 characters")
        return value

    @model_validator(mode="after")
    def _bound(self) -> Self:
        if self.role in BOUND and self.merchant_id is None:
            raise ValueError(f"a token of role {self.role.value} needs merchant_id")
        return self


class Sender(BaseModel):
    """A courier that may send webhooks: the secret of its signatures, and the adapter that reads its events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secret: SecretStr
    adapter: str = "sandbox"


class Settings(BaseWorkerSettings):
    """What `python -m api` reads; the codec and the log as every process here."""

    database_url: str = Field(description="SQLAlchemy URL of the database")
    api_host: str = Field(default="127.0.0.1", description="address to listen on")
    api_port: int = Field(default=8000, ge=0, le=65535, description="port to listen on")
    api_tokens: Annotated[tuple[TokenEntry, ...], NoDecode] = Field(
        default=(), description="JSON list of {token, role, identity, merchant_id}"
    )
    api_tokens_file: Path | None = Field(default=None, description="file with the same JSON")
    webhook_senders: Annotated[dict[str, Sender], NoDecode] = Field(
        default_factory=dict, description='JSON object: sender to {"secret": "whsec_...", "adapter": "sandbox"}'
    )
    policy_books: Path | None = Field(default=None, description="folder or file with further policy books")
    inbox_interval_s: float = Field(default=5.0, gt=0, description="seconds between looks at undelivered webhooks")
    inbox_lease_s: float = Field(default=60.0, gt=0, description="seconds for which one process holds an event")
    inbox_give_up_s: float = Field(
        default=timedelta(days=7).total_seconds(),
        gt=0,
        description="seconds after which an event that fits no case is parked",
    )
    patience_s: float = Field(default=20.0, gt=0, description="seconds to wait for a case's answer")

    @field_validator("api_tokens", "webhook_senders", mode="before")
    @classmethod
    def _json(cls, value: Any) -> Any:
        return json.loads(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _unique(self) -> Self:
        values = [entry.token.get_secret_value() for entry in self.tokens()]
        if len(set(values)) != len(values):
            raise ValueError("one token is listed twice")
        return self

    def tokens(self) -> tuple[TokenEntry, ...]:
        """All tokens, those of the file included."""
        if self.api_tokens_file is None:
            return self.api_tokens
        listed = json.loads(self.api_tokens_file.read_text(encoding="utf-8"))
        return self.api_tokens + tuple(TokenEntry.model_validate(entry) for entry in listed)
