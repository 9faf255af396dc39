"""Another account for a refund that the old one does not take: asked for, waited for, reminded of. X19, X20."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

from temporalio import workflow

from backhaul.facts import Party
from workflows.case_run import ACCOUNT, CaseDesk
from workflows.desk import Reminder
from workflows.stages.notices import notify, remind

NEEDED, WAITS = "account_needed", "refund_unclaimed"


async def another_account(run: CaseDesk, tried: frozenset[str]) -> str | None:
    """An account that the consumer names and that was not tried yet; None when they stayed silent to the end.

    All refunds of a case that need one ask together: one notice, one answer."""
    named = run.mail.account
    if named is not None and named.account_ref not in tried:
        return named.account_ref
    if run.asking_account is None or run.asking_account.done():
        run.mail.account = None
        run.asking_account = asyncio.create_task(_ask(run))
    return await asyncio.shield(run.asking_account)


async def _ask(run: CaseDesk) -> str | None:
    """X19: told at once, 7 days to answer. X20: 30 days more, with 3 reminders spread evenly over them, the first at
    their start; then the money waits to be claimed."""
    terms = run.judged.terms
    asked, first, more = workflow.now(), terms.account_answer_s, terms.unclaimed_s
    span = timedelta(seconds=first)
    told = notify(run, Party.CONSUMER, NEEDED, asked + span, freed=lambda: run.mail.account is not None)
    if not await run.ask(Party.CONSUMER, ACCOUNT, span, lambda: run.mail.account is not None, told, beside=True):
        await _wait_longer(run, more, terms.unclaimed_reminders)
    return None if run.mail.account is None else run.mail.account.account_ref


async def _wait_longer(run: CaseDesk, seconds: float, reminders: int) -> None:
    start = workflow.now()
    due = start + timedelta(seconds=seconds)
    await run.wait(
        Party.CONSUMER,
        ACCOUNT,
        due,
        lambda: run.mail.account is not None,
        reminders=[
            Reminder(
                start + timedelta(seconds=seconds * number / reminders),
                partial(remind, run, Party.CONSUMER, WAITS, due),
            )
            for number in range(reminders)
        ],
        beside=True,
    )
