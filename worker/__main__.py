"""`python -m worker`: one process that polls all queues (or those of BACKHAUL_QUEUES) until SIGTERM or SIGINT.

On a signal it stops polling, lets activities end within BACKHAUL_DRAIN_S, closes everything and exits with 0.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog
from sqlalchemy.exc import DBAPIError
from sqlmodel import select
from temporalio.client import Client

from backhaul.errors import Rejected
from backhaul.policy.library import Library, load_library
from gateways.registry import Gateways, build
from store.engine import Store
from store.tables.cases import CaseRow
from worker.converter import safe_text
from worker.health import database_answers, serve_health, temporal_answers
from worker.log import configure
from worker.metrics import CountingInterceptor, runtime_of
from worker.process import Misconfigured, connect_with, read_settings, run_main, stop_on_signals
from worker.register import assert_attributes
from worker.registry import Limits, Workers, activities_of, build_workers
from worker.settings import Settings
from worker.sweeper import sweep_forever

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Store]:
    """The database of these settings. Raises Misconfigured for a URL that is none."""
    try:
        store = Store(settings.database_url)
    except ValueError as error:
        raise Misconfigured(f"BACKHAUL_DATABASE_URL: {error}") from None
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def open_gateways(settings: Settings) -> AsyncIterator[Gateways]:
    """The providers of these settings. Raises Misconfigured naming what is missing."""
    try:
        gateways = build(settings.gateways())
    except ValueError as error:
        raise Misconfigured(str(error)) from None
    try:
        yield gateways
    finally:
        await gateways.aclose()


async def assert_schema(store: Store) -> None:
    """Can the product's tables be read? Raises Misconfigured with what the database said."""
    try:
        async with store.read() as session:
            await session.exec(select(CaseRow.case_key).limit(1))
    except DBAPIError as error:
        said = safe_text(error.orig or error)
        raise Misconfigured(f"BACKHAUL_DATABASE_URL: {said} (python -m store.migrate makes the tables)") from None


def library_of(settings: Settings) -> Library:
    """The policy books. Raises Misconfigured where one cannot be read, or the one for new cases is none of them."""
    try:
        library = load_library(settings.policy_books)
        if settings.policy_book is not None:
            library.by_version(settings.policy_book)
    except (ValueError, OSError) as error:
        raise Misconfigured(f"BACKHAUL_POLICY_BOOKS: {safe_text(error)}") from None
    except Rejected as error:
        raise Misconfigured(f"BACKHAUL_POLICY_BOOK: {error.message}") from None
    return library


def workers_of(client: Client, store: Store, gateways: Gateways, library: Library, settings: Settings) -> Workers:
    """The workers of these settings."""
    limits = Limits(
        queues=settings.queues,
        payments_per_second=settings.payments_per_second,
        max_cached_workflows=settings.max_cached_workflows,
        workflow_tasks_at_once=settings.workflow_tasks_at_once,
        drain=timedelta(seconds=settings.drain_s),
    )
    activities = activities_of(store, gateways, library, settings.policy_book)
    return build_workers(client, activities, limits, interceptors=[CountingInterceptor()])


async def main() -> int:
    """Poll until a signal comes. 0: drained."""
    settings = read_settings(Settings)
    configure(settings.log_format, settings.log_level)
    stopped = stop_on_signals()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings))
        gateways = await stack.enter_async_context(open_gateways(settings))
        library = library_of(settings)
        await assert_schema(store)
        runtime = runtime_of(settings.metrics_address)
        client = await connect_with(settings, runtime)
        await assert_attributes(client)
        workers = workers_of(client, store, gateways, library, settings)
        checks = {
            "polling": lambda: _answer(workers.polling),
            "database": lambda: database_answers(store),
            "temporal": lambda: temporal_answers(client),
        }
        await stack.enter_async_context(serve_health(settings.health_address, checks))
        polling = asyncio.create_task(workers.run())
        log.info("polling", queues=list(workers.queues), namespace=client.namespace)
        stopping = asyncio.create_task(stopped.wait())
        sweeping = asyncio.create_task(sweep_forever(client, store, settings, runtime, gateways.payments))
        await asyncio.wait([polling, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, sweeping):
            task.cancel()
        log.info("draining", seconds=settings.drain_s)
        await workers.shutdown()
        await polling
        await asyncio.gather(stopping, sweeping, return_exceptions=True)
    log.info("stopped")
    return 0


async def _answer(value: bool) -> bool:
    return value


if __name__ == "__main__":
    run_main(main)
