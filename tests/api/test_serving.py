"""`python -m api` as a process, and its settings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from pydantic import ValidationError

from api.auth import Tokens
from api.settings import Settings
from backhaul.errors import Refusal
from backhaul.names import Role
from sandbox.servers import free_port
from store.migrate import migrate
from tests.waiting import PATIENCE_S

ENTRY = {"token": "a-token-long-enough-1", "role": "merchant", "identity": "shop-1", "merchant_id": "M-1"}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A migrated database and a port; Temporal is not there."""
    url = f"sqlite:///{tmp_path / 'backhaul.db'}"
    migrate(url)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("BACKHAUL_", "TEMPORAL_"))},
        "BACKHAUL_DATABASE_URL": url,
        "BACKHAUL_API_PORT": str(free_port()),
        "BACKHAUL_API_TOKENS": json.dumps([ENTRY]),
        "BACKHAUL_WEBHOOK_SENDERS": " ",
        "TEMPORAL_ADDRESS": "127.0.0.1:1",
    }


@pytest.fixture
def process(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen([sys.executable, "-m", "api"], env=environment, stderr=subprocess.PIPE)
    yield running
    running.kill()
    running.wait()


def test_it_serves_without_temporal_and_stops_when_told(
    environment: dict[str, str], process: subprocess.Popen[bytes]
) -> None:
    url = f"http://127.0.0.1:{environment['BACKHAUL_API_PORT']}"
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            alive = httpx2.get(f"{url}/livez", timeout=PATIENCE_S)
            break
        except httpx2.TransportError:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert alive.json() == {"status": "ok"}
    ready = httpx2.get(f"{url}/readyz", timeout=PATIENCE_S)
    assert (ready.status_code, ready.json()["code"]) == (503, "unavailable")
    assert "temporal" in ready.json()["detail"]
    assert "database" not in ready.json()["detail"]
    bearer = {"Authorization": f"Bearer {ENTRY['token']}"}
    listed = httpx2.get(f"{url}/v1/returns", headers=bearer, timeout=PATIENCE_S)
    assert listed.json() == {"cases": [], "next": None}
    assert "server" not in listed.headers
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


def test_blank_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKHAUL_DATABASE_URL", "sqlite:///x.db")
    for name in ("API_TOKENS", "API_TOKENS_FILE", "WEBHOOK_SENDERS", "API_PORT", "CODEC_KEYS"):
        monkeypatch.setenv(f"BACKHAUL_{name}", " ")
    settings = Settings()
    assert (settings.tokens(), settings.webhook_senders, settings.api_port) == ((), {}, 8000)
    monkeypatch.setenv("BACKHAUL_DATABASE_URL", "")
    with pytest.raises(ValidationError, match="database_url"):
        Settings()


def test_tokens_of_a_file_are_known(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps([ENTRY]), encoding="utf-8")
    settings = Settings(database_url="sqlite:///x.db", api_tokens_file=path)
    found = Tokens(settings.tokens()).find(f"Bearer {ENTRY['token']}")
    assert (found.role, found.name, found.merchant_id) == (Role.MERCHANT, "shop-1", "M-1")
    with pytest.raises(Refusal):
        Tokens(settings.tokens()).find(f"Bearer {ENTRY['token']}x")
    assert ENTRY["token"] not in repr(settings.tokens())


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([ENTRY | {"token": "short"}], "at least 16"),
        ([ENTRY | {"merchant_id": None}], "needs merchant_id"),
        ([ENTRY | {"role": "king"}], "role"),
        ([ENTRY, ENTRY | {"identity": "shop-2"}], "listed twice"),
    ],
)
def test_tokens_that_cannot_be(monkeypatch: pytest.MonkeyPatch, entries: list[object], why: str) -> None:
    monkeypatch.setenv("BACKHAUL_DATABASE_URL", "sqlite:///x.db")
    monkeypatch.setenv("BACKHAUL_API_TOKENS", json.dumps(entries))
    with pytest.raises(ValidationError, match=why):
        Settings()


def test_a_missing_setting_is_one_line(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api"], env=environment | {"BACKHAUL_DATABASE_URL": ""}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (2, "misconfigured: BACKHAUL_DATABASE_URL: Field required\n")
