"""What `explain` says of a case against what the journal moved, at the end of a story."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlmodel import select

from activities.steps.ending import owed
from backhaul.facts import Verdict
from backhaul.ledger import Account, JournalEntry, P, Side
from backhaul.policy import remedy, rulings
from store import authority, cases, ledger
from store.tables import CaseRow
from tests.workflows.world import World

LIABLE, INDEMNITY, INSURER = "liability", "indemnity", "insurer_decision"
RECOVERY, UNCOLLECTABLE = "recovery", "uncollectable"
COLLECTED, LET_GO = ("J41", "J44", "J51"), ("J43", "J52", "J55")
WAIVER = 500
"""Less than this is let go without a ruling (X28)."""


async def contradictions(world: World) -> list[str]:
    """What the decisions of the cases say otherwise than their journal, and what they say twice."""
    async with world.store.read() as session:
        found = []
        for key in await session.exec(select(CaseRow.case_key)):
            told = await cases.decisions(session, key)
            entries = [one.entry for one in await ledger.entries_of(session, key)]
            found += [f"{key}: {what}" for what in compare(told, entries)]
            known = {one.numbers["ruling"] for one in told if one.decision == rulings.DECISION}
            for made in await authority.rulings_of(session, key):
                if made.decides == RECOVERY and made.ruling_id not in known:
                    found.append(f"{key}: the ruling {made.ruling_id} on a recovery is not told")
        return found


def compare(told: Sequence[Verdict], entries: Sequence[JournalEntry]) -> Iterator[str]:
    """One case. Its last word of each kind counts."""
    last = {one.decision: one for one in told}
    yield from _twice(told)
    yield from _recoveries(told, entries)
    done = last.get(remedy.DECISION)
    if done is None:
        if _net(entries, P.MERCHANT_PAYABLE, "J22"):
            yield "J22 is posted, and no remedy is told"
        return
    says = done.numbers
    who = next((one for one in reversed(told) if _names_the_liable(one)), None)
    if who is None or who.outcome != says["liable"]:
        yield f"liable is {says['liable']}, told is {None if who is None else who.outcome}"
    charged = _sum(entries, "J22") if _sum(entries, "J20") else _sum(entries, "J23")
    if charged != says["charged"]:
        yield f"the merchant is charged {charged}, told is {says['charged']}"
    withheld = _net(_unpaid_for(entries), P.REFUND_PAYABLE, "J54", "J45")
    if withheld != says["withheld"]:
        yield f"{withheld} is withheld from the consumer, told is {says['withheld']}"
    yield from _indemnity(last, told, entries)
    if not owed(entries):
        refund = _refunded(entries)
        if refund != says["to_consumer"]:
            yield f"{refund} is refunded, told is {says['to_consumer']}"


def _twice(told: Sequence[Verdict]) -> Iterator[str]:
    before: dict[str, Verdict] = {}
    for one in told:
        plain = one.model_copy(update={"facts_hash": ""})
        if before.get(one.decision) == plain:
            yield f"{one.decision} {one.outcome} is told twice"
        before[one.decision] = plain


def _names_the_liable(one: Verdict) -> bool:
    return one.decision == LIABLE or (one.decision == rulings.DECISION and one.numbers["decides"] == LIABLE)


def _indemnity(last: dict[str, Verdict], told: Sequence[Verdict], entries: Sequence[JournalEntry]) -> Iterator[str]:
    """Ours is what is due; what the insurer said after it is what is paid."""
    paid = -_net(entries, P.MERCHANT_PAYABLE, "J31", "J75", "J75b")
    says = last[remedy.DECISION].numbers["indemnity"]
    due = last[INDEMNITY].numbers["indemnity"] if INDEMNITY in last else 0
    if due != says:
        yield f"an indemnity of {due} is told, and one of {says} in the remedy"
    answers = [one.numbers for one in told if one.decision == INSURER]
    approved = sum(int(one["approved"] or 0) for one in answers)
    if -_net(entries, P.MERCHANT_PAYABLE, "J31") != approved:
        yield f"the insurer approved {approved}, which is not J31"
    in_full = all(one["approved"] == one["claimed"] for one in answers)
    if paid != says and (in_full or paid > int(says or 0)):
        yield f"{paid} is indemnified, told is {says}"


def _recoveries(told: Sequence[Verdict], entries: Sequence[JournalEntry]) -> Iterator[str]:
    """The last ruling on each recovery: after `owed` more of it came in, after `uncollectable` no more. What was let go
    was ruled to be uncollectable."""
    last = {
        str(one.numbers["recovery"]): one
        for one in told
        if one.decision == rulings.DECISION and one.numbers["decides"] == RECOVERY
    }
    for ref, ruled in last.items():
        came, said = sum(_moved(one) for one in entries if _collects(one, ref)), int(ruled.numbers["collected"] or 0)
        if came < said or (came == said) is not (ruled.outcome == UNCOLLECTABLE):
            yield f"{ref} is ruled {ruled.outcome} with {said} collected, and {came} came in the end"
    for entry in entries:
        name, amount = _given_up_by(entry), _moved(entry)
        if name is None or amount < WAIVER:
            continue
        found = last.get(name)
        if found is None or found.outcome != UNCOLLECTABLE or amount > int(found.numbers["left"] or 0):
            yield f"{amount} of {name} is let go, told is {None if found is None else found.outcome}"


def _collects(entry: JournalEntry, ref: str) -> bool:
    """Did this bring in a part of the recovery? The key of every part names it."""
    named = f"{entry.payment_key or entry.external_key}:"
    return entry.template in COLLECTED and (named.startswith(f"{ref}:") or f":collect.{ref}:" in named)


def _given_up_by(entry: JournalEntry) -> str | None:
    """The recovery whose end let this go; None of what a correction took back, and of what was never demanded."""
    if entry.template not in LET_GO or entry.claim_ref is None:
        return None
    what = entry.key.split(":", 2)[2]
    if entry.template == "J52":
        return what
    part = what.removeprefix(entry.claim_ref)
    if not part:
        return entry.claim_ref
    return f"{entry.claim_ref}.{part[1:]}" if part.startswith(":r") and part[2:].isdigit() else None


def _unpaid_for(entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """Without what the consumer had paid themselves and was repaid."""
    return [one for one in entries if ":repaid." not in (one.payment_key or "")]


def _refunded(entries: Sequence[JournalEntry]) -> int:
    """What left for the consumer, or waits for them, and the freight that was taken off it; not the freight that the
    merchant owed them, nor what they had paid themselves and were repaid."""
    return _net(_unpaid_for(entries), P.REFUND_PAYABLE, "J16", "J21", "J56", "J60", "J61", "J62", "J80")


def _net(entries: Sequence[JournalEntry], account: Account, *templates: str) -> int:
    return sum(
        one.total(account, Side.DEBIT) - one.total(account, Side.CREDIT) for one in entries if one.template in templates
    )


def _sum(entries: Sequence[JournalEntry], template: str) -> int:
    """What a template moved, less what was taken back of it."""
    total = 0
    for one in entries:
        if one.template == template:
            amount = sum(line.amount.minor for line in one.lines if line.side is Side.DEBIT)
            total += -amount if one.reverses else amount
    return total


def _moved(entry: JournalEntry) -> int:
    """What an entry of a recovery moved; in two books, it moved the same in each."""
    return entry.lines[0].amount.minor
