"""find_ruling and find_approval: what people decided under their own identity. Architecture 2, 3.9."""

from __future__ import annotations

from activities.contract import FindApproval, FindRuling, Found
from activities.steps.desk import Desk, key_of
from backhaul.errors import Rejected
from store import authority

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
    return Found(id=found.ruling_id, outcome=found.outcome, findings=found.findings, at=found.at)


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
