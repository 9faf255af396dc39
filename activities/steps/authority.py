"""find_ruling and find_approval: what people decided under their own identity. Architecture 2, 3.9."""

from __future__ import annotations

from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import FindApproval, FindRuling, Found, NoteRulingTold, RulingTold
from activities.steps.desk import Desk, key_of
from backhaul.errors import Rejected
from backhaul.facts import BookRef, Verdict
from backhaul.policy import rulings
from store import authority, cases

APPROVED = "approved"


async def ruling(desk: Desk, argument: FindRuling) -> Found:
    """A ruling for this case. On an appeal: one that overrules the ruling appealed against, by another reviewer."""
    async with desk.store.read() as session:
        found = await authority.find_ruling(session, argument.ruling_id, key_of(argument.case))
        before = None
        if argument.appealed is not None:
            before = await authority.find_ruling(session, argument.appealed, key_of(argument.case))
    if before is not None and before.ruled_by == found.ruled_by:
        raise Rejected("same_reviewer", field="ruling_id")
    if found.overrules != argument.appealed:
        raise Rejected("ruling_mismatch", "it overrules another ruling, or none", field="ruling_id")
    return Found(id=found.ruling_id, outcome=found.outcome, findings=found.findings)


async def ruling_told(desk: Desk, argument: NoteRulingTold) -> RulingTold:
    """Keep when both sides of a case were told of a ruling; the first time stays."""

    async def work(session: AsyncSession) -> RulingTold:
        told = await authority.note_told(session, argument.ruling_id, key_of(argument.case), argument.at)
        return RulingTold(at=told)

    return await desk.store.run(work)


async def tell_ruling(
    session: AsyncSession, case_key: str, ruling_id: str, at: datetime, about: rulings.About | None = None
) -> tuple[Verdict, ...]:
    """A ruling that was followed joins the decisions of its case, once; `about` a recovery: once for each."""
    step = ":".join((rulings.DECISION, ruling_id, *(() if about is None else (about.recovery,))))
    told = await cases.decisions(session, case_key, step)
    if not told:
        found = await authority.find_ruling(session, ruling_id, case_key)
        row = await cases.need(session, case_key)
        told = (rulings.ruled(found, BookRef(version=row.book_version, hash=row.book_hash), about),)
        await cases.add_decisions(session, case_key, step, told, at)
    return told


async def approval(desk: Desk, argument: FindApproval) -> Found:
    """An unused approval for this step of this case. Amount and payee are checked where the money leaves."""
    async with desk.store.read() as session:
        found = await authority.find_approval(session, argument.approval_id)
    ours = f"{found.merchant_id}/{found.rma_id}" == key_of(argument.case)
    if not ours or found.subject != argument.subject:
        raise Rejected("approval_mismatch", field="approval_id")
    if found.approved_by is None:
        raise Rejected("approval_required", "nobody has approved it yet", field="approval_id")
    if found.used:
        raise Rejected("approval_used", field="approval_id")
    return Found(id=found.approval_id, outcome=APPROVED)
