"""Each test has its own four parties, on free ports, with empty books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.common.serve import serve
from sandbox.parties import Parties, serve_parties
from tests.sandbox.support import CONTROL_TOKEN, SECRET, TOKEN, Api, Receiver


@pytest.fixture
async def parties(tmp_path: Path) -> AsyncIterator[Parties]:
    running = await serve_parties(tmp_path, token=TOKEN, control_token=CONTROL_TOKEN, seed=1)
    yield running
    await running.stop()


@pytest.fixture
async def courier(parties: Parties) -> AsyncIterator[Api]:
    api = Api(parties.courier)
    yield api
    await api.aclose()


@pytest.fixture
async def psp(parties: Parties) -> AsyncIterator[Api]:
    api = Api(parties.psp)
    yield api
    await api.aclose()


@pytest.fixture
async def insurer(parties: Parties) -> AsyncIterator[Api]:
    api = Api(parties.insurer)
    yield api
    await api.aclose()


@pytest.fixture
async def notices(parties: Parties) -> AsyncIterator[Api]:
    api = Api(parties.notices)
    yield api
    await api.aclose()


@pytest.fixture
async def receiver(parties: Parties) -> AsyncIterator[Receiver]:
    """A webhook receiver that the courier sends to."""
    receiver = Receiver()
    server = await serve(receiver.app())
    await parties.courier_control.webhook(f"{server.url}/hooks", SECRET)
    yield receiver
    await parties.courier_control.webhook(None)
    await server.stop()
