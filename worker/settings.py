"""Settings of the processes in `worker/`: BACKHAUL_* variables; blank means unset. Temporal's own are the standard
TEMPORAL_* ones, read by temporalio.envconfig. Each is documented in docs/reference/settings.md."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from backhaul.facts import Token
from backhaul.names import QUEUES
from gateways.http import TIMEOUT_S
from gateways.registry import Endpoint, GatewaySettings


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


class Provider(BaseModel):
    """Where one provider is and how to speak to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    token: SecretStr
    adapter: str = "sandbox"
    timeout_s: float = Field(default=TIMEOUT_S, gt=0, le=TIMEOUT_S)

    def endpoint(self) -> Endpoint:
        """The same for the gateways."""
        return Endpoint(self.url, self.token.get_secret_value(), self.adapter, self.timeout_s)


def _address(value: str) -> str:
    """`host:port`. Raises ValueError."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError("an address is host:port; port 0 takes a free one")
    return value


Address = Annotated[str, AfterValidator(_address)]


def host_and_port(address: str) -> tuple[str, int]:
    """The two halves of an Address."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class BaseWorkerSettings(BaseSettings):
    """What every process here reads: the codec and the log."""

    model_config = SettingsConfigDict(
        env_prefix="BACKHAUL_", env_nested_delimiter="__", env_ignore_empty=True, extra="ignore", frozen=True
    )

    codec_keys: SecretStr | None = Field(
        default=None,
        description="`id:base64,...`: AES keys of 32 bytes. The first encrypts, all decrypt. Unset: no encryption",
    )
    codec_accept_plain: bool = Field(
        default=False,
        description="Take payloads that are not encrypted, though there are keys: while cases opened before are open",
    )
    log_format: LogFormat = Field(default=LogFormat.CONSOLE, description="`console` or `json`")
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Lines from this level on"
    )

    @model_validator(mode="before")
    @classmethod
    def _blank_is_unset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if not (isinstance(value, str) and not value.strip())}


class Settings(BaseWorkerSettings):
    """What `python -m worker`, `worker.register` and `worker.sweeper` read."""

    database_url: str = Field(description="`sqlite:///path` or `postgresql://user:password@host/name`")
    policy_books: Path | None = Field(default=None, description="Folder or file with further policy books")
    policy_book: str | None = Field(
        default=None, description="Version of the book of new cases. Unset: the dated book in force at the request"
    )
    couriers: dict[Token, Provider] = Field(
        default_factory=dict,
        description='JSON object: courier\'s name to {"url", "token", "adapter", "timeout_s"}',
    )
    payments: Provider | None = Field(default=None, description="The payment provider: JSON object of the same fields")
    insurer: Provider | None = Field(default=None, description="The insurer: JSON object of the same fields")
    notices: Provider | None = Field(
        default=None, description="Who tells the parties what they must know: JSON object of the same fields"
    )

    queues: Annotated[tuple[str, ...], NoDecode] = Field(
        default=QUEUES, description="Queues that this process polls, separated by commas"
    )
    payments_per_second: float = Field(
        default=50.0, gt=0, description="Activities a second on the payments queue, over all processes (by the server)"
    )
    max_cached_workflows: int = Field(
        default=500, ge=0, le=20_000, description="Workflows kept in memory; each is about 0.12 MB"
    )
    workflow_tasks_at_once: int = Field(
        default=8, ge=2, le=200, description="Workflow tasks worked on at a time; what is more waits at the server"
    )
    drain_s: float = Field(default=20.0, ge=0, description="Seconds that activities have to end after SIGTERM")

    health_address: Address = Field(
        default="127.0.0.1:8090", description="Where /livez and /readyz answer; port 0 takes a free one"
    )
    metrics_address: Address | None = Field(default=None, description="Where Prometheus reads /metrics. Unset: nowhere")

    sweep_every_s: float = Field(
        default=60.0, ge=0, description="Seconds between looks for cases that cannot speak for themselves; 0: never"
    )
    sweep_restart: bool = Field(
        default=True, description="Carry a case on whose workflow was terminated: start it again from what is stored"
    )

    settlement_cron: str = Field(default="0 2 * * *", description="When a settlement cycle starts, in UTC")
    settlement_every_s: float | None = Field(
        default=None, gt=0, description="Seconds between settlement cycles, in place of the cron: for demos and tests"
    )
    settlement_paused: bool = Field(default=False, description="Create the settlement schedule paused")
    reconciliation_cron: str = Field(default="0 4 * * *", description="When a reconciliation starts, in UTC")
    reconciliation_paused: bool = Field(default=False, description="Create the reconciliation schedule paused")

    @field_validator("queues", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @field_validator("queues")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in QUEUES]
        if unknown or not value or len(set(value)) != len(value):
            raise ValueError(f"queues are one or more of {', '.join(QUEUES)}")
        return value

    def gateways(self) -> GatewaySettings:
        """The providers for gateways.registry. Raises ValueError naming what is missing."""
        if self.payments is None or self.insurer is None or self.notices is None or not self.couriers:
            missing = [
                name
                for name, given in (
                    ("BACKHAUL_COURIERS", self.couriers),
                    ("BACKHAUL_PAYMENTS", self.payments),
                    ("BACKHAUL_INSURER", self.insurer),
                    ("BACKHAUL_NOTICES", self.notices),
                )
                if not given
            ]
            raise ValueError(f"{', '.join(missing)}: a provider without an address (docs/reference/settings.md)")
        return GatewaySettings(
            couriers={name: provider.endpoint() for name, provider in self.couriers.items()},
            payments=self.payments.endpoint(),
            insurer=self.insurer.endpoint(),
            notices=self.notices.endpoint(),
        )
