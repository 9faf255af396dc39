"""The consumer's money: refunds to the original payments, each part under its own key. Domain 6, X18 to X21.

A part that its payment does not take goes another way (X19, X20); one that waits for the payer's money waits under
its key (X21). The others go on meanwhile; the refund is over when all of them are.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow

from activities.contract import ConfirmBounce, KeepUnclaimed, PayConsumer, Proof, RefundPart, SendRefund
from activities.declarations import confirm_bounce, keep_unclaimed, pay_consumer, send_refund
from backhaul.case import Region
from backhaul.facts import Party
from backhaul.ids import account_key, next_key
from workflows.case_run import CaseDesk
from workflows.stages.accounts import another_account

ABNORMAL, CLOSED, SHORT = "account_abnormal", "channel_closed", "payer_short"
NOT_SHOWN = "proof_refused"
REFUNDED = frozenset({"not_due", "succeeded", "unclaimed"})
"""The region of a refund that is not under way. One by lightning, or of an undisputed part, may still be parked."""


async def refund(run: CaseDesk, parts: tuple[RefundPart, ...]) -> None:
    """Refund to the original payments, each under its own key (X18: an unknown answer never makes a new one)."""
    run.regions.to(Region.REFUND, "submitted")
    run.sums.under_way += sum(part.amount.minor for part in parts)
    results = await asyncio.gather(*(_refund_part(run, part) for part in parts))
    over = "succeeded" if all(results) else "unclaimed"
    if run.regions.may(Region.REFUND, over):  # another refund of the case may have become unclaimed meanwhile
        run.regions.to(Region.REFUND, over)


async def _refund_part(run: CaseDesk, part: RefundPart) -> bool:
    """True: the consumer has it, whichever way. False: it waits to be claimed."""
    short_since: datetime | None = None
    while True:
        done = await run.effect(
            send_refund,
            SendRefund(case=run.judged.case, part=part, patience=run.patience),
            key=lambda a: a.part.payment_key,
            again=_next_refund,
            hand_back=frozenset({ABNORMAL, SHORT} if short_since is None else {ABNORMAL, SHORT, CLOSED}),
        )
        if not isinstance(done, Proof) or done.state == "succeeded":
            run.paid_refunds.add(done.key)
            return _paid(run, part, "succeeded")
        part = part.model_copy(update={"payment_key": done.key})
        match done.state:
            case "payer_short":
                short_since = short_since or workflow.now()
                await _funds(run, part, short_since)
            case "channel_closed":
                run.tell(f"the provider closed {done.key}: the refund leaves under the next number", Party.PSP)
                part, short_since = _numbered(part), None
            case "account_abnormal":
                return await _otherwise(run, part)
            case _:
                return _unclaimed(run, part)


def _next_refund(ended: SendRefund) -> SendRefund:
    return ended.model_copy(update={"part": _numbered(ended.part)})


def _numbered(part: RefundPart) -> RefundPart:
    return part.model_copy(update={"payment_key": next_key(part.payment_key)})


async def _funds(run: CaseDesk, part: RefundPart, since: datetime) -> None:
    """X21: until the next alarm of the book, or the provider's own news, or an operator's retry; then the same key is
    looked up again. Before the first alarm the case only waits; from then on it is parked."""
    terms, now, key = run.judged.terms, workflow.now(), part.payment_key
    alarms = [since + timedelta(seconds=seconds) for seconds in (*terms.payer_alarms_s, terms.payer_closed_s)]
    due = next((at for at in alarms if at > now), now + (alarms[-1] - alarms[-2]))
    run.mail.settled.discard(key)
    if now < alarms[0]:
        run.tell(f"the payer's account is short: {part.amount} waits under {key}", Party.PSP)
        await run.wait(Party.PLATFORM, "payer_funds", due, lambda: key in run.mail.settled, beside=True)
        return
    days = (now - since).days
    run.tell(f"alarm on day {days}: the payer's account is still short", Party.PLATFORM)
    await run.park(
        SHORT,
        f"{part.amount} waits under {key} for {days} days: the payer's account is short",
        step=send_refund.name,
        effect=True,
        skippable=False,
        key=key,
        freed=lambda: key in run.mail.settled,
        within_s=(due - now).total_seconds(),
        looks_again=True,
    )


# ---- another way -------------------------------------------------------------------------------------------------


async def bounced(run: CaseDesk, key: str) -> bool | None:
    """A refund that had succeeded came back (J60): the consumer is owed again, and paid another way. None: the
    provider's books do not show it, and nothing was done."""
    found = await run.effect(
        confirm_bounce,
        ConfirmBounce(case=run.judged.case, payment_key=key, patience=run.patience),
        hand_back=frozenset({NOT_SHOWN}),
    )
    if isinstance(found, Proof):
        run.paid_refunds.add(key)
        run.tell(f"said to have come back, which the provider's books do not show: {key}", Party.PSP)
        return None
    amount = found.part.amount
    run.sums.refunded -= amount.minor
    run.sums.under_way += amount.minor
    run.tell(f"refund of {amount} came back", Party.PSP)
    paid = await _otherwise(run, found.part)
    if run.regions[Region.REFUND] in {"abnormal", "alternate"} and not run.refund_states:
        run.regions.to(Region.REFUND, "succeeded" if paid else "unclaimed")
    return paid


async def _otherwise(run: CaseDesk, part: RefundPart) -> bool:
    """X19: to an account that the consumer names, under a purpose of its own. X20: nobody answers, it is kept."""
    of = part.payment_key
    key, tried = account_key(of), set[str]()
    while True:
        _show(run, of, "abnormal")
        account = await another_account(run, frozenset(tried))
        if account is None:
            kept = KeepUnclaimed(case=run.judged.case, of=of, amount=part.amount, at=workflow.now())
            await run.step(keep_unclaimed, kept)
            return _unclaimed(run, part)
        tried.add(account)
        _show(run, of, "alternate")
        done = await run.effect(
            pay_consumer,
            PayConsumer(
                case=run.judged.case, of=of, key=key, amount=part.amount, account_ref=account, patience=run.patience
            ),
            key=lambda a: a.key,
            again=next_payout,
            hand_back=frozenset({ABNORMAL}),
        )
        if not isinstance(done, Proof) or done.state == "succeeded":
            return _paid(run, part, "was paid to another account")
        if done.state != ABNORMAL:
            return _unclaimed(run, part)
        key = next_key(done.key)


def next_payout(ended: PayConsumer) -> PayConsumer:
    """The next number: the provider ended the last attempt for good."""
    return ended.model_copy(update={"key": next_key(ended.key)})


def _paid(run: CaseDesk, part: RefundPart, how: str) -> bool:
    run.sums.refunded += part.amount.minor
    run.sums.under_way -= part.amount.minor
    run.tell(f"refund of {part.amount} {how}", Party.PSP)
    _show(run, part.payment_key, None)
    return True


def _unclaimed(run: CaseDesk, part: RefundPart) -> bool:
    run.sums.under_way -= part.amount.minor
    run.tell(f"refund of {part.amount} went to unclaimed money", Party.PLATFORM)
    _show(run, part.payment_key, None)
    return False


def _show(run: CaseDesk, key: str, state: str | None) -> None:
    """One region for all parts: abnormal while any waits for an account, alternate while any is paid another way."""
    if state is None:
        run.refund_states.pop(key, None)
    else:
        run.refund_states[key] = state
    states = set(run.refund_states.values())
    if states:
        shown = "abnormal" if "abnormal" in states else "alternate"
        if run.regions.may(Region.REFUND, shown):
            run.regions.to(Region.REFUND, shown)
