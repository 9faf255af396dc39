"""Connecting: the standard TEMPORAL_* variables and profiles, and messages that speak pydantic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from temporalio.client import Client, Interceptor
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfig, ClientConnectConfig

from backhaul.client.failures import unreachable
from backhaul.names import NAMESPACE

DEFAULT_ADDRESS = "localhost:7233"


def connect_config(profile: str | None = None, *, environment: Mapping[str, str] | None = None) -> ClientConnectConfig:
    """What the environment and the profile file say, with Temporal's own defaults filled in. Blank means unset."""
    config = ClientConfig.load_client_connect_config(profile=profile, override_env_vars=environment)
    config["target_host"] = config.get("target_host") or DEFAULT_ADDRESS
    config["namespace"] = config.get("namespace") or NAMESPACE
    return config


async def connect(
    *,
    profile: str | None = None,
    data_converter: DataConverter = pydantic_data_converter,
    interceptors: Sequence[Interceptor] = (),
    lazy: bool = False,
    **overrides: Any,
) -> Client:
    """A Temporal client from TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_PROFILE and their kind.

    `data_converter` must speak pydantic; give one with the deployment's codec where payloads are encrypted.
    `overrides` go to `Client.connect` as they are. Raises Transient when the server cannot be reached.
    """
    arguments = {**connect_config(profile), **overrides}
    try:
        return await Client.connect(data_converter=data_converter, interceptors=interceptors, lazy=lazy, **arguments)
    except RuntimeError as error:  # what the SDK raises for every failure to connect
        raise unreachable(f"Temporal at {arguments['target_host']} is not reachable") from error
