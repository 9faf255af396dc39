"""Evidence over the API: kept under the token's identity first, then told to whoever waits for it."""

from __future__ import annotations

from api.auth import Identity
from api.services import Services
from backhaul.errors import Refusal
from backhaul.facts import Party
from backhaul.ids import CaseId
from backhaul.messages import SubmitEvidence
from backhaul.names import Role, Update
from store import cases, corrections, evidence


def check_evidence(role: Role, payload: object) -> None:
    """A party gives evidence, and speaks, in its own name only. Raises Refusal(`forbidden`)."""
    own = role.value
    for number, item in enumerate(getattr(payload, "evidence", ())):
        if item.by.value != own:
            raise Refusal(
                "forbidden", f"evidence of the {own} says it is the {item.by.value}'s", field=f"evidence.{number}.by"
            )
    if isinstance(payload, SubmitEvidence) and payload.by is not None and payload.by.value != own:
        raise Refusal("forbidden", f"the {own} speaks for the {payload.by.value}", field="by")


async def keep(given: Services, caller: Identity, case: CaseId, said: SubmitEvidence) -> SubmitEvidence:
    """Keep what a party gave, with who gave it. What it said, in its own name. Raises Refusal(`not_found`)."""
    async with given.store.transaction() as session:
        await cases.need(session, case.key)
        await evidence.keep(session, case.key, said.evidence, evidence.PARTY, given.now(), caller.name)
    return said.model_copy(update={"by": Party(caller.role.value)})


async def tell_corrections(given: Services, case: CaseId, said: SubmitEvidence) -> None:
    """A closed case hears nothing; a correction of it may have a dispute under way."""
    async with given.store.read() as session:
        rows = await corrections.of_case(session, case.key)
    for row in rows:
        if row.state == corrections.OPEN:
            try:
                await given.backhaul.report_correction(case, row.n, Update.SUBMIT_EVIDENCE, said)
            except Refusal as refusal:
                if refusal.code not in {"not_waiting", "return_closed"}:
                    raise
