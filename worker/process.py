"""What every process here does first: read its settings, connect, stop on a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.runtime import Runtime

from backhaul.client.connection import connect
from backhaul.errors import BackhaulError
from worker.codec import EncryptionCodec, Keyring
from worker.converter import data_converter
from worker.settings import BaseWorkerSettings

S = TypeVar("S", bound=BaseSettings)

FAILED, MISCONFIGURED = 1, 2


class Misconfigured(Exception):
    """A setting is missing or wrong. The text names it and shows no value."""


def read_settings(kind: type[S]) -> S:
    """Settings from the environment. Raises Misconfigured."""
    try:
        return kind()
    except ValidationError as error:
        wrong = "; ".join(
            f"BACKHAUL_{'__'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors(include_input=False, include_context=False, include_url=False)
        )
        raise Misconfigured(wrong) from None


def codec_of(settings: BaseWorkerSettings) -> EncryptionCodec | None:
    """The codec of these settings, if there are keys. Raises Misconfigured."""
    if settings.codec_keys is None:
        return None
    try:
        keyring = Keyring.parse(settings.codec_keys.get_secret_value())
    except ValueError as error:
        raise Misconfigured(f"BACKHAUL_CODEC_KEYS: {error}") from None
    return EncryptionCodec(keyring, accept_plain=settings.codec_accept_plain)


def converter_of(settings: BaseWorkerSettings) -> DataConverter:
    """The data converter of these settings, for whoever speaks to Temporal. Raises Misconfigured."""
    return data_converter(codec_of(settings))


async def connect_with(settings: BaseWorkerSettings, runtime: Runtime | None = None) -> Client:
    """A client with the deployment's converter. Raises Transient(`unavailable`) and Misconfigured."""
    more: dict[str, Any] = {} if runtime is None else {"runtime": runtime}
    return await connect(data_converter=converter_of(settings), **more)


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; a second signal ends the process at once."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def again() -> None:
        sys.stderr.write("stopped by a second signal\n")
        sys.exit(FAILED)

    def first() -> None:
        stopped.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, again)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, first)
    return stopped


def run_main(main: Callable[[], Awaitable[int]]) -> NoReturn:
    """Run a process to its exit code: coded trouble is one line and no traceback."""

    async def body() -> int:
        return await main()

    try:
        code = asyncio.run(body())
    except Misconfigured as error:
        sys.stderr.write(f"misconfigured: {error}\n")
        code = MISCONFIGURED
    except BackhaulError as error:
        sys.stderr.write(f"{error.code}: {error.message}\n")
        code = FAILED
    # Everything of ours is closed. The SDK's own threads may still run, and the interpreter's teardown under them has
    # ended in a segmentation fault after the work was done: leave without it.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
