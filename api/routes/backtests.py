"""Stored cases decided again under another policy book. Reads only: no money moves, nothing is kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime

from api.auth import Identity, allowed
from api.openapi import documented
from api.services import Given, Services
from backhaul.backtests import BacktestPage, CaseBacktest
from backhaul.errors import Refusal
from backhaul.facts import Reason, Token
from backhaul.names import Role
from backhaul.policy.backtest import Books, Story, compare
from backhaul.policy.book import PolicyBook
from backhaul.policy.library import UnknownBook
from store import backtests
from store.backtests import Wanted

router = APIRouter(tags=["backtests"])

READERS = (Role.AUDITOR,)
VERSION = r"^[A-Za-z0-9_.-]{1,40}$"
Moment = AwareDatetime | None


@router.get(
    "/v1/backtests",
    summary="Decide stored cases again under another book",
    **documented(READERS, "unknown_book", "not_found", "store_busy"),
)
async def get_backtest(
    given: Given,
    caller: Annotated[Identity, Depends(allowed(*READERS))],
    against: Annotated[str, Query(pattern=VERSION, description="version of the policy book to decide by")],
    book: Annotated[str | None, Query(pattern=VERSION, description="the baseline; each case's own without")] = None,
    merchant_id: Token | None = None,
    rma_id: Token | None = None,
    order_id: Token | None = None,
    reason: Reason | None = None,
    outcome: Annotated[str | None, Query(max_length=30)] = None,
    since: Annotated[Moment, Query(alias="from", description="opened at or after")] = None,
    until: Annotated[Moment, Query(alias="to", description="opened before")] = None,
    differing: Annotated[bool, Query(description="leave out the cases in which nothing differs")] = False,
    explain: Annotated[bool, Query(description="with every decision of both sides")] = False,
    after: Annotated[str | None, Query(max_length=300, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=backtests.SOME)] = 100,
) -> BacktestPage:
    """The figures of each case under both books, oldest first. Add the pages up for a report: `backhaul backtest` does.

    Amounts are totals of a case, corrections included; a case that a book cannot decide from what was known says so."""
    merchant = merchant_id if caller.merchant_id is None else caller.merchant(merchant_id)
    one, other = None if book is None else _book(given, book), _book(given, against)
    wanted = Wanted(merchant, rma_id, order_id, None if reason is None else reason.value, outcome, since, until)
    async with given.store.look() as session:
        page = await backtests.stories(session, wanted, after, limit)
    cases = await asyncio.to_thread(_compared, given, page.stories, one, other, explain)
    return BacktestPage(
        book=book,
        against=against,
        cases=tuple(case for case in cases if case.differs or not differing),
        looked=len(cases),
        not_comparable=Counter(case.why for case in cases if case.why),
        next=page.next,
    )


def _book(given: Services, version: str) -> PolicyBook:
    try:
        return given.library.by_version(version)
    except UnknownBook as unknown:
        raise Refusal("unknown_book", unknown.message, field="book") from None


def _compared(
    given: Services, stories: tuple[Story, ...], one: PolicyBook | None, other: PolicyBook, explain: bool
) -> list[CaseBacktest]:
    found = []
    for story in stories:
        before = Books.all_by(one) if one is not None else Books.own(story, given.library)
        case = compare(story, before, Books.all_by(other))
        found.append(case if explain else case.without_decisions())
    return found
