"""Telling the parties what they must know, visibly. Deadlines that act on silence count from here (domain 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from temporalio import workflow

from activities.contract import Noticed, Patience, SendNotice
from activities.declarations import send_notice
from backhaul.errors import CODES
from backhaul.facts import Party
from backhaul.ledger import CaseRef
from backhaul.money import Money
from backhaul.notices import NOTICES
from workflows.case_run import CaseDesk
from workflows.desk import Desk, Reminder


async def notify(
    run: CaseDesk,
    to: Party,
    about: str,
    due: datetime | None = None,
    *,
    freed: Callable[[], bool] | None = None,
    amount: Money | None = None,
) -> datetime:
    """Tell a party of the case; the time from which their deadline counts. `due`: when their silence acts, should the
    notice reach them at once. Telling the same again is a reminder, under the next number.

    A notice that reaches nobody parks: retry sends another, skip says that they were told otherwise, just now. `freed`
    is a condition under which it does not matter any more."""
    at = await deliver(
        run, run.judged.case, run.patience, to, about, due, within=run.within, freed=freed, amount=amount
    )
    run.tell(f"told the {to.value}: {NOTICES[about].text.en}", Party.PLATFORM)
    return at


async def ask(
    run: CaseDesk,
    to: Party,
    about: str,
    code: str,
    seconds: float,
    until: Callable[[], bool],
    *,
    reminders: Mapping[str, float] | None = None,
    amount: Money | None = None,
) -> bool:
    """Tell a party and wait for their answer: True, or False when their time from the notice is over. Reminders by
    their word, each so many seconds after the notice. An answer frees a notice that is stuck."""
    span = timedelta(seconds=seconds)
    asked = workflow.now()
    return await run.ask(
        to,
        code,
        span,
        until,
        notify(run, to, about, asked + span, freed=until, amount=amount),
        reminders=[
            Reminder(asked + timedelta(seconds=after), partial(remind, run, to, word))
            for word, after in (reminders or {}).items()
        ],
    )


async def remind(run: CaseDesk, to: Party, about: str, due: datetime | None = None) -> None:
    """Tell a party again, beside a wait. It moves no deadline, so that one that reaches nobody is noted and does not
    park the case."""
    asked = _ask(run, run.judged.case, run.patience, to, about, due, run.within)
    sent = await run.effect(send_notice, asked, hand_back=frozenset(CODES))
    how = "told" if isinstance(sent, Noticed) else "could not reach"
    run.tell(f"{how} the {to.value}: {NOTICES[about].text.en}", Party.PLATFORM)


async def deliver(
    desk: Desk,
    case: CaseRef,
    patience: Patience,
    to: Party,
    about: str,
    due: datetime | None = None,
    *,
    within: str = "",
    freed: Callable[[], bool] | None = None,
    amount: Money | None = None,
) -> datetime:
    """The same for workflows beside the case. `within` names the workflow (`correction.1`), so that its notices have
    keys of their own."""
    asked = _ask(desk, case, patience, to, about, due, within, amount)
    sent = await desk.effect(send_notice, asked, again=lambda ended: _another(desk, ended), freed=freed)
    return sent.at if isinstance(sent, Noticed) else workflow.now()


def _ask(
    desk: Desk,
    case: CaseRef,
    patience: Patience,
    to: Party,
    about: str,
    due: datetime | None,
    within: str,
    amount: Money | None = None,
) -> SendNotice:
    if NOTICES[about].to is not to:
        raise ValueError(f"{about} is no notice to the {to.value}")
    n = desk.notices[about] = desk.notices.get(about, 0) + 1
    return SendNotice(case=case, to=to, about=about, n=n, due=due, patience=patience, within=within, amount=amount)


def _another(desk: Desk, ended: SendNotice) -> SendNotice:
    """The one before reached nobody and never will: the next number."""
    desk.notices[ended.about] = ended.n + 1
    return ended.model_copy(update={"n": ended.n + 1})
