"""The app: routes, guard, problems, and the dispatcher of webhooks that lives as long as the app does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from api import openapi, problems
from api.auth import Tokens
from api.dispatch import Dispatcher
from api.guard import Guard
from api.routes import (
    authority,
    backtests,
    consumers,
    corrections,
    disputes,
    health,
    inbox,
    merchants,
    orders,
    reconciliation,
    recoveries,
    returns,
    updates,
    webhooks,
)
from api.services import Clock, Services, utc_now
from api.settings import Settings
from backhaul import __version__
from backhaul.client import Backhaul
from backhaul.facts import BookRef
from backhaul.policy.library import load_library
from store.engine import Store

DESCRIPTION = """Returns of goods, from request to settled money.

Every refusal is `application/problem+json` (RFC 9457) with a `code`; branch on the code, never on text. Times are
RFC 3339 with an offset; amounts are minor units with a currency. Bodies are at most 256 KB.
"""


def create_app(
    settings: Settings,
    store: Store,
    backhaul_client: Backhaul,
    *,
    book_of_version: Callable[[str], BookRef] | None = None,
    now: Clock = utc_now,
) -> FastAPI:
    """The ASGI app over an open database and a connected client; both stay the caller's to close."""
    dispatcher = Dispatcher(settings, store, backhaul_client, now)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(dispatcher.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    app = FastAPI(
        title="Backhaul",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url="/docs",
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.services = Services(
        settings=settings,
        store=store,
        backhaul=backhaul_client,
        book_of_version=book_of_version or _books(settings),
        library=load_library(settings.policy_books),
        dispatcher=dispatcher,
        now=now,
    )
    problems.install(app)
    openapi.install(app)
    app.add_middleware(Guard, tokens=Tokens(settings.tokens()))
    for module in (
        orders,
        returns,
        corrections,
        recoveries,
        reconciliation,
        backtests,
        authority,
        disputes,
        merchants,
        consumers,
        webhooks,
        inbox,
        health,
        updates,
    ):
        app.include_router(module.router)
    return app


def _books(settings: Settings) -> Callable[[str], BookRef]:
    library = load_library(settings.policy_books)

    def find(version: str) -> BookRef:
        return library.by_version(version).ref

    return find
