"""/livez: this process runs. /readyz: it can reach what it needs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Literal

from fastapi import APIRouter
from sqlmodel import select

from api.problems import described
from api.services import Given, Services
from api.views import View
from backhaul.errors import Transient

router = APIRouter(tags=["health"])

PATIENCE = timedelta(seconds=3)


class Alive(View):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(View):
    """Database and Temporal answer."""

    database: Literal["ok"] = "ok"
    temporal: Literal["ok"] = "ok"


@router.get("/livez", summary="Does the process run?")
async def livez() -> Alive:
    """Says nothing of the world outside: a restart would not mend that."""
    return Alive()


@router.get("/readyz", summary="Can it work?", responses=described("unavailable"))
async def readyz(given: Given) -> Ready:
    """503 while the database or Temporal cannot be reached."""
    checks = {"database": _database(given), "temporal": _temporal(given)}
    found = await asyncio.gather(*checks.values(), return_exceptions=True)
    missing = [name for name, result in zip(checks, found, strict=True) if isinstance(result, BaseException)]
    if missing:
        raise Transient("unavailable", f"not reachable: {', '.join(missing)}")
    return Ready()


async def _database(given: Services) -> None:
    async with asyncio.timeout(PATIENCE.total_seconds()), given.store.read() as session:
        await session.exec(select(1))


async def _temporal(given: Services) -> None:
    async with asyncio.timeout(PATIENCE.total_seconds()):
        await given.backhaul.client.service_client.check_health(timeout=PATIENCE)
