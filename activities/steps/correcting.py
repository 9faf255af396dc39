"""end_correction: the last correction of a case is closed once the case owes nothing again. Domain 2.10, invariants 7
to 9."""

from __future__ import annotations

from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import EndCorrection, Judgement, LateFacts, OpenCorrection, Opened, Receipt, StartCorrection
from activities.steps.desk import Desk, Work, key_of
from activities.steps.ending import owed, reserves
from activities.steps.freight import late_freight
from backhaul.corrections import CorrectionEvent, CorrectionKind
from backhaul.errors import Refusal, Rejected
from backhaul.ids import parse_case_key
from backhaul.messages import PickupReport, TrackingReport
from backhaul.money import Money
from backhaul.policy.parcels import correction_of
from store import cases, corrections, ledger, waybills
from store.tables import CaseRow, CorrectionRow


def start_of(row: CorrectionRow, case: CaseRow) -> StartCorrection:
    """The argument with which a correction's workflow starts, first or carried on: all of it is in the store.

    Raises Rejected(`not_found`) for a case that was never judged."""
    if case.judgement is None:
        raise Rejected("not_found", f"{case.case_key} was never judged")
    judgement = Judgement.model_validate(case.judgement)
    return StartCorrection(
        case=judgement.case,
        n=row.n,
        kind=CorrectionKind(row.kind),
        event=CorrectionEvent.model_validate(row.event),
        terms=judgement.terms,
        regions=dict((case.status or {}).get("regions", {})),
        lines=tuple(line["line_id"] for line in case.request.get("lines", ())),
    )


async def open_one(desk: Desk, argument: OpenCorrection) -> StartCorrection:
    """Open the correction that this event asks for, or find the one that it has started."""

    async def work(session: AsyncSession) -> StartCorrection:
        key = key_of(argument.case)
        row = await corrections.open_for(session, key, argument.kind, argument.event, argument.at)
        return start_of(row, await cases.need(session, key))

    try:
        return await desk.store.run(work)
    except Refusal as refused:
        raise Rejected(refused.code, refused.message) from None


async def open_late(desk: Desk, argument: LateFacts) -> Opened:
    """Open what these facts ask for, or find what was opened for the same parcel; only what is open is to start."""

    async def work(session: AsyncSession) -> Opened:
        key = key_of(argument.case)
        starts: dict[int, StartCorrection] = {}
        told: tuple[PickupReport | TrackingReport, ...] = (*argument.pickups, *argument.trackings)
        for report in told:
            alone = len(await waybills.cases_of(session, report.waybill)) == 1
            found = correction_of(parse_case_key(key), argument.logistics, report, alone=alone)
            if found is None:
                continue
            row = await corrections.open_for(session, key, *found, argument.at)
            if row.state == corrections.OPEN:
                starts[row.n] = start_of(row, await cases.need(session, key))
        return Opened(starts=tuple(starts.values()))

    try:
        return await desk.store.run(work)
    except Refusal as refused:
        raise Rejected(refused.code, refused.message) from None


async def end(desk: Desk, argument: EndCorrection) -> Receipt:
    """Close the correction once. Raises Rejected(`invariant_broken`) naming what does not hold. What is open of a case
    with several corrections may be another one's: the last of them answers for all."""

    async def work(now: Work) -> Receipt:
        every = await corrections.of_case(now.session, now.key)
        if all(row.n == argument.n or row.state == corrections.CLOSED for row in every):
            entries = [posted.entry for posted in await ledger.entries_of(now.session, now.key)]
            broken = [*owed(entries), *await reserves(now)]
            if broken:
                raise Rejected("invariant_broken", "; ".join(broken))
        row = await corrections.need(now.session, now.key, argument.n)
        event = CorrectionEvent.model_validate(row.event)
        if row.kind == CorrectionKind.LATE_SCAN.value and event.waybill is not None:
            await late_freight(desk, now, event.waybill, event.occurred_at)
        await corrections.close(now.session, now.key, argument.n, argument.outcome, argument.at)
        await cases.save_corrected(now.session, now.key, argument.regions, argument.at)
        return Receipt(key=now.key, ref=argument.outcome, amount=Money.zero(now.order.order.currency))

    return await desk.once(argument.case, f"end_correction:{argument.n}", argument, Receipt, work, argument.at)
