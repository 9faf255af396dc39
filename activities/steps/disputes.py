"""record_evidence and open_dispute: what the sides gave, and what a reviewer sees of the goods. Domain 4.5, X8, X14."""

from __future__ import annotations

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import (
    DisputeEnded,
    DisputeOpened,
    EndDispute,
    EvidenceKept,
    OpenDispute,
    RecordEvidence,
    Remedy,
)
from activities.steps.authority import tell_ruling
from activities.steps.desk import Desk, Work, key_of
from activities.steps.facts import refreshed
from activities.steps.parcel import STEP as SCANNED
from backhaul.facts import CaseFacts, Verdict
from backhaul.policy.comparison import compare, comparison
from store import cases, evidence, holds

DISPUTE = "dispute"


async def record(desk: Desk, argument: RecordEvidence) -> EvidenceKept:
    """Keep what a party gave. A piece that is there stays as it came first."""

    async def work(session: AsyncSession) -> EvidenceKept:
        key = key_of(argument.case)
        return EvidenceKept(new=await evidence.keep(session, key, argument.evidence, evidence.PARTY, argument.at))

    return await desk.store.run(work)


async def open_dispute(desk: Desk, argument: OpenDispute) -> DisputeOpened:
    """Compare door and receipt item by item, keep the comparison as a decision, list the evidence. From here on what
    the case owes and is owed stays out of settlement."""

    async def work(now: Work) -> DisputeOpened:
        await holds.hold_legs(now.session, now.key, now.at, reason=_reason(argument.n))
        kept = await evidence.of_case(now.session, now.key)
        facts = await cases.facts_of(now.session, now.key, SCANNED, CaseFacts)
        if facts is None:  # nothing was collected: there are no goods to compare
            return DisputeOpened(evidence=kept)
        facts = refreshed(facts, now.order)
        door = await cases.inspection(now.session, now.key, "doorstep")
        receipt = await cases.inspection(now.session, now.key, "receipt")
        lost = await cases.recorded(now.session, now.key, "settle_case:lost", Remedy) is not None
        objected = await cases.recorded(now.session, now.key, "settle_case:receipt_issue", Remedy)
        late = objected is not None and "late_objection" in objected.reasons
        items = compare(facts, door, receipt, lost, late, now.book)
        await now.say(comparison(facts, items, now.book))
        return DisputeOpened(items=items, evidence=kept, verdicts=tuple(now.verdicts))

    return await desk.once(argument.case, f"{DISPUTE}:{argument.n}", argument, DisputeOpened, work, argument.at)


async def end_dispute(desk: Desk, argument: EndDispute) -> DisputeEnded:
    """Let what it held back into the next settlement, and keep the ruling as a decision of the case. A repeat, or a
    dispute that held nothing, is no change."""

    async def work(session: AsyncSession) -> DisputeEnded:
        key = key_of(argument.case)
        await holds.release_legs(session, key, argument.at, reason=_reason(argument.n))
        told: tuple[Verdict, ...] = ()
        if argument.ruling_id is not None:
            told = await tell_ruling(session, key, argument.ruling_id, argument.at)
        return DisputeEnded(n=argument.n, verdicts=told)

    return await desk.store.run(work)


def _reason(n: int) -> str:
    return f"{holds.DISPUTE}:{n}"
