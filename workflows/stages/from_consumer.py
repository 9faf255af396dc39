"""From the consumer: told, given time, charged; in parts, if it must be. X26, X28, J51, J52, J55."""

from __future__ import annotations

from activities.contract import Charged, ChargeReceivable, Receivable, ReviewReceivable
from activities.declarations import charge_receivable, review_receivable
from backhaul.facts import Party
from backhaul.ids import collect_key
from backhaul.money import Money
from workflows.desk import ENDED_BY_CHANNEL
from workflows.recovery_run import (
    APPROVED,
    ENDED_OUTSIDE,
    FAILED,
    GIVEN_UP,
    SUCCEEDED,
    UNCOLLECTABLE,
    RecoveryRun,
    after,
)
from workflows.stages.notices import deliver


async def from_consumer(run: RecoveryRun) -> None:
    """Tell the consumer, wait as long as the book says from then on, charge. A part that came is kept and the rest has
    as much time again; what cannot be collected at all a human rules on, what is below the waiver is let go."""
    terms = run.request.terms
    owed = await _owed(run)
    if not owed.amount:
        return
    run.booked = owed.amount.minor
    span = terms.clawback_notice_s if owed.clawback else terms.consumer_collect_s
    about = "clawback" if owed.clawback else "receivable_due"
    case = run.request.case
    told = await deliver(run, case, run.patience, Party.CONSUMER, about, after(span), within=run.within)
    run.state = "demanded"
    run.tell(f"told the consumer that {owed.amount} will be collected", Party.PLATFORM)
    due, n, given_up = after(span, told), 1, False
    while True:
        await run.wait(Party.CONSUMER, "payment", due, lambda: False)
        if given_up:
            said = await run.outside(_key(run, n))
            given_up, n = said not in ENDED_OUTSIDE, n + (said == FAILED)
        if not given_up:
            done = await _charge(run, n)
            given_up = done == APPROVED
        if isinstance(done, Charged):
            n += 1
            await _came(run, done.amount, insured=owed.insured)
            if done.left.minor < max(1, terms.waiver_minor):
                return
            due = after(span)
            continue
        if not given_up:
            n += 1
        found = await _ask_human(run, done, _key(run, n) if given_up else None)
        if found == UNCOLLECTABLE:
            return
        due = after(0 if found is None else span)


async def _ask_human(run: RecoveryRun, code: str, given_up: str | None) -> str | None:
    """What a ruling says; None: charge again. While the key that was given up may still collect, only a ruling."""
    rest = run.money(max(0, run.booked - run.collected))
    reason, why = "uncollectable", code
    if given_up is not None:
        reason, why = GIVEN_UP, f"{given_up} was given up without the channel's word and may still collect it"
    found = await run.decide(reason, f"{rest} was not collected: {why}", "charge_receivable")
    return None if found is None else found.outcome


async def _owed(run: RecoveryRun) -> Receivable:
    return await run.step(review_receivable, ReviewReceivable(case=run.request.case, plan=run.plan))


def _key(run: RecoveryRun, n: int) -> str:
    return collect_key(run.id, run.plan.ref, n)


async def _charge(run: RecoveryRun, n: int) -> Charged | str:
    """One attempt under its own key; the code with which the channel ended it, or how it was skipped. Another follows
    only where the channel itself ended it."""
    asked = ChargeReceivable(case=run.request.case, plan=run.plan, n=n, patience=run.patience)
    while True:
        done = await run.effect(charge_receivable, asked, key=lambda a: _key(run, a.n), hand_back=ENDED_BY_CHANNEL)
        if isinstance(done, Charged):
            return done
        if done.state != SUCCEEDED:  # else proved by the channel's books: the same key now answers what it got
            return done.state


async def _came(run: RecoveryRun, amount: Money, *, insured: bool) -> None:
    """J42 where the insurer has indemnified it; what lightning lost without a cover is ours."""
    if not amount:
        return
    run.collected += amount.minor
    run.tell(f"{amount} collected from the consumer", Party.PSP)
    if insured:
        await run.remit(amount)
