"""From the carrier: demand, time to answer, cash, set-off, ruling. X27, J40 to J44."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from temporalio import workflow

from activities.contract import CheckDemand, DemandRecovery, DemandState, Receipt, SetOff, SetOffDemand
from activities.declarations import check_demand, demand_recovery, set_off_demand
from backhaul.facts import Party
from backhaul.ids import recovery_key
from backhaul.money import Money
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

LOOKS = 10
"""How often the carrier's answer is looked up within its time."""
PAID_IN_CASH = frozenset({"already_decided"})


@dataclass
class SetOffs:
    """The number of the next set-off, or of the one that was given up and may still take place."""

    n: int = 1
    given_up: bool = False


async def from_carrier(run: RecoveryRun) -> None:
    """Ask, and take what comes in its time. Then what the carrier accepted, left unanswered (where the book allows it)
    or owes by a ruling is set off against what we owe it; the rest has as much time again to come in cash.

    What the carrier contests, and what neither comes nor can be set off, a human rules on."""
    span = run.request.terms.demand_answer_s
    demanded = await _demand(run)
    due, ruled, set_off_before, set_offs = after(span), False, False, SetOffs()
    while True:
        answer = await _answer(run, demanded, due, ruled)
        if answer.withdrawn and answer.state == "accepted" and not set_off_before:
            set_off_before, due = True, after(span)
            continue
        if run.collected >= demanded.minor or answer.withdrawn:
            return
        contested = not ruled and answer.state in {"contested", "paid"}
        if not contested and (ruled or answer.state == "accepted" or _silence_counts(run, answer)):
            upto = answer.accepted if answer.accepted is not None and not ruled else demanded
            await _set_off(run, upto, set_offs)
            if run.collected >= demanded.minor:
                return
            contested = not ruled and answer.state == "accepted" and run.collected >= upto.minor
            if not contested and not set_off_before:
                set_off_before, due = True, after(span)
                continue
        found = await _ask_human(run, demanded, set_offs, contested=contested)
        if found == UNCOLLECTABLE:
            return
        due = after(span)
        if found is not None and not ruled:
            due, ruled, set_off_before = workflow.now(), True, False


def _silence_counts(run: RecoveryRun, answer: DemandState) -> bool:
    return answer.state == "received" and run.request.terms.set_off_on_silence


async def _demand(run: RecoveryRun) -> Money:
    request = run.request
    cap = request.terms.undeclared_cap_freights
    asked = await run.effect(
        demand_recovery, DemandRecovery(case=request.case, plan=run.plan, patience=run.patience, cap_freights=cap)
    )
    demanded = asked.amount if isinstance(asked, Receipt) else run.plan.amount
    run.state = "demanded"
    run.tell(f"demanded {demanded} of the carrier", Party.PLATFORM)
    return demanded


async def _answer(run: RecoveryRun, demanded: Money, due: datetime, ruled: bool) -> DemandState:
    """Look the answer up until it is decisive or its time is over; what came in cash goes on to the insurer.

    A demand that was withdrawn is looked up as long, and what was accepted of it as long again: the carrier may pay
    it all the same."""
    request = run.request
    while True:
        found = await run.effect(check_demand, CheckDemand(case=request.case, plan=run.plan))
        said = found if isinstance(found, DemandState) else DemandState(state="received")
        if said.state in {"accepted", "contested"} and not ruled:
            run.state = said.state
        if said.accepted is not None:
            run.booked = max(run.booked, said.accepted.minor)
        await _came(run, said.collected)
        if said.returned:
            run.tell(f"{said.returned} came for a withdrawn demand and went back to the carrier", Party.PLATFORM)
        decisive = (said.withdrawn or not ruled) and said.state in {"paid", "contested"}
        if decisive or run.collected >= demanded.minor or workflow.now() >= due:
            return said
        again = min(due, after(request.terms.demand_answer_s / LOOKS))
        await run.wait(Party.COURIER, "demand_answer", again, lambda: False)


async def _came(run: RecoveryRun, collected: Money | None) -> None:
    """Remit what is collected beyond what was before."""
    if collected is None or collected.minor <= run.collected:
        return
    more = collected.minor - run.collected
    run.collected, run.booked = collected.minor, max(run.booked, collected.minor)
    run.tell(f"{run.money(more)} came from the carrier", Party.COURIER)
    await run.remit(run.money(more))


def _key(run: RecoveryRun, set_offs: SetOffs) -> str:
    return recovery_key(run.plan.ref, "set_off", set_offs.n)


async def _set_off(run: RecoveryRun, upto: Money, set_offs: SetOffs) -> None:
    """J41, up to what we owe the carrier. A number is not used again once the carrier has noted it, or has refused it
    since it paid in cash meanwhile; none follows on one that was given up before the carrier's books end it."""
    if set_offs.given_up:
        said = await run.outside(_key(run, set_offs))
        set_offs.given_up, set_offs.n = said not in ENDED_OUTSIDE, set_offs.n + (said == FAILED)
        if set_offs.given_up:
            return
    while True:
        asked = SetOffDemand(case=run.request.case, plan=run.plan, upto=upto, n=set_offs.n, patience=run.patience)
        done = await run.effect(set_off_demand, asked, key=lambda _: _key(run, set_offs), hand_back=PAID_IN_CASH)
        if isinstance(done, SetOff):
            set_offs.n += 1 if done.amount else 0
            await _came(run, done.collected)
            return
        if done.state != SUCCEEDED:  # else proved by the carrier's books: the same key now answers what it took
            set_offs.given_up = done.state == APPROVED
            set_offs.n += 0 if set_offs.given_up else 1
            return


async def _ask_human(run: RecoveryRun, demanded: Money, set_offs: SetOffs, *, contested: bool) -> str | None:
    """What a ruling says; None: try again. While a set-off that was given up may still take place, only a ruling."""
    rest = demanded - run.money(run.collected)
    if set_offs.given_up:
        headline = f"{rest} did not come: {_key(run, set_offs)} was given up without the carrier's word"
    elif contested:
        headline = f"the carrier contests {rest} of the {demanded} demanded"
    else:
        headline = (
            f"{rest} of the {demanded} demanded did not come, and we owe the carrier nothing to set it off against"
        )
    reason = GIVEN_UP if set_offs.given_up else "claim_contested" if contested else "no_answer"
    found = await run.decide(reason, headline, "demand_recovery")
    return None if found is None else found.outcome
