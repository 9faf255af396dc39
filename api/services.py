"""What the routes work with: made once for an app, reached through `request.app.state`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request

from api.dispatch import Dispatcher
from api.settings import Settings
from backhaul.client import Backhaul
from backhaul.facts import BookRef
from backhaul.policy.library import Library
from store.engine import Store

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Services:
    """The database, the cases, the policy books, the dispatcher of webhooks."""

    settings: Settings
    store: Store
    backhaul: Backhaul
    book_of_version: Callable[[str], BookRef]
    library: Library
    dispatcher: Dispatcher
    now: Clock


def services(request: Request) -> Services:
    """The app's services."""
    found: Services = request.app.state.services
    return found


Given = Annotated[Services, Depends(services)]
