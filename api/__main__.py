"""`python -m api`: serve over HTTP until told to stop."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import uvicorn
from temporalio.converter import DataConverter

from api.app import create_app
from api.settings import Settings
from backhaul.client import Backhaul, connect
from store.engine import Store
from worker.codec import EncryptionCodec, Keyring
from worker.converter import data_converter

GRACE_S = 20
"""Seconds for answers under way when told to stop."""


def converter(settings: Settings) -> DataConverter:
    """The converter that workers use, with the deployment's codec where there are keys."""
    if settings.codec_keys is None:
        return data_converter()
    keyring = Keyring.parse(settings.codec_keys.get_secret_value())
    return data_converter(EncryptionCodec(keyring, accept_plain=settings.codec_accept_plain))


async def serve(settings: Settings) -> None:
    """Connect, serve, and close what was opened. Temporal may come later: readyz says so until then."""
    store = Store(settings.database_url)
    try:
        client = await connect(lazy=True, data_converter=converter(settings))
        backhaul = Backhaul(client, patience=timedelta(seconds=settings.patience_s))
        app = create_app(settings, store, backhaul)
        config = uvicorn.Config(
            app,
            host=settings.api_host,
            port=settings.api_port,
            timeout_graceful_shutdown=GRACE_S,
            server_header=False,
            log_level="info",
        )
        await uvicorn.Server(config).serve()
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(serve(Settings()))
