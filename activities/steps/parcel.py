"""record_waybill and record_pickup: the goods are on their way. Domain 4.2, 4.4."""

from __future__ import annotations

from sqlalchemy import update
from sqlmodel import col

from activities.contract import Collected, Receipt, RecordPickup, RecordWaybill, RefundPart, Repayment
from activities.steps.desk import Desk, Work
from activities.steps.facts import collected_facts, refreshed
from activities.steps.freight import pickup_freight, self_ship_freight
from activities.steps.opening import STEP as JUDGED
from activities.steps.parts import with_freight
from backhaul.case import Stage
from backhaul.errors import Refusal, Rejected
from backhaul.facts import CaseFacts, Finding, Frozen, Inspection, InspectionResult, LineFinding, Party, Verdict
from backhaul.ledger import lightning_granted
from backhaul.messages import PickupReport
from backhaul.money import Money
from backhaul.policy.lightning import lightning_gate
from backhaul.policy.refunds import LineRefund, RefundValue, refund_value
from backhaul.policy.risk import under_risk
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import otherwise
from store import cases, credit, evidence, refunds, waybills
from store.tables import CaseLineRow

STEP = "record_pickup"
WAYBILL = "record_waybill"
SCAN = "scan"


class Scan(Frozen):
    """What later steps need to know of the scan. Its facts are kept under the step's name.

    `granted`: the lightning refund by line, none where the gate stayed closed. `reimburse`: freight that the
    merchant owes the consumer (J16) and that has not left yet."""

    waybill: str
    granted: tuple[LineRefund, ...] = ()
    consumer_owes: Money
    reimburse: Money


async def record_waybill(desk: Desk, argument: RecordWaybill) -> Receipt:
    """From now on events of this waybill belong to the case; a new one takes the place of a cancelled one."""
    parcel = argument.waybill

    async def work(now: Work) -> Receipt:
        try:
            await waybills.bind(now.session, parcel.waybill, parcel.courier, now.key, now.at, parcel.proven_freight)
        except Refusal as refused:
            raise Rejected("effect_conflict", refused.message, field=refused.field) from None
        currency = now.order.order.currency
        amount = parcel.proven_freight or Money.zero(currency)
        return Receipt(key=now.key, ref=parcel.waybill, amount=amount)

    return await desk.once(argument.case, f"{WAYBILL}:{parcel.waybill}", argument, Receipt, work)


async def record_pickup(desk: Desk, argument: RecordPickup) -> Collected:
    """The scan: keep the doorstep check, share the freight, try the lightning gate."""

    async def work(now: Work) -> Collected:
        return await _record(desk, now, argument)

    return await desk.once(argument.case, STEP, argument, Collected, work)


async def _record(desk: Desk, work: Work, argument: RecordPickup) -> Collected:
    judged = await cases.facts_of(work.session, work.key, JUDGED, CaseFacts)
    if judged is None:
        raise Rejected("not_found", f"{work.key} has no facts")
    report = argument.report
    argument = argument.model_copy(update={"pickup_id": await _pickup_of(work, argument)})
    self_ship = argument.pickup_id is None
    judged = under_risk(judged, work.risk)
    facts = refreshed(collected_facts(judged, report.collected, self_ship=self_ship), work.order)
    await _give_back_units(work, _ids(judged) - _ids(facts))
    doorstep = doorstep_check(report, facts)
    await cases.save_inspection(work.session, work.key, "doorstep", doorstep, report.event_id)
    ours = _ids(facts)
    await evidence.keep_photos(work.session, work.key, (one for one in report.findings if one.line_id in ours), work.at)
    await cases.store_facts(work.session, work.key, STEP, facts)
    if argument.pickup_id is None:
        freight = await self_ship_freight(desk, work, argument, facts)
    else:
        freight = await pickup_freight(desk, work, argument, argument.pickup_id, facts)
    gate, granted = await _lightning(work, facts, doorstep, cancelled=argument.cancelled)
    scan = Scan(
        waybill=report.waybill,
        granted=granted.lines if granted else (),
        consumer_owes=freight.consumer_owes,
        reimburse=freight.reimburse,
    )
    parts: tuple[RefundPart, ...] = ()
    besides: tuple[Repayment, ...] = ()
    if granted is not None:
        parts, besides = await with_freight(work, granted.total, freight.reimburse)
        scan = scan.model_copy(update={"reimburse": Money.zero(freight.share.currency)})
    await cases.record(work.session, work.key, SCAN, argument, scan, work.at)
    await cases.add_money(work.session, work.key, freight=freight.share.minor)
    await cases.set_stage(work.session, work.key, Stage.TRANSIT.value, work.at, waiting_on=Party.COURIER.value)
    return Collected(
        lightning=granted is not None,
        reasons=gate.reasons,
        refunds=parts,
        repayments=besides,
        freight=freight.claim,
        freight_share=freight.share,
        verdicts=tuple(work.verdicts),
    )


async def _pickup_of(work: Work, argument: RecordPickup) -> str | None:
    """The visit that the report is about, by its waybill: it may be an earlier one than the case waits for."""
    known = await waybills.get(work.session, argument.report.waybill)
    return argument.pickup_id if known is None else known.pickup_id


async def scan_facts(work: Work) -> CaseFacts:
    """The facts of what was collected, with money and limits as they are now. Raises Rejected(`not_found`)."""
    facts = await cases.facts_of(work.session, work.key, STEP, CaseFacts)
    if facts is None:
        raise Rejected("not_found", f"the goods of {work.key} were not collected")
    return refreshed(facts, work.order)


def doorstep_check(report: PickupReport, facts: CaseFacts) -> Inspection:
    """The inspection at the door as far as it concerns this case's lines."""
    ours = _ids(facts)
    findings = tuple(
        LineFinding(line_id=one.line_id, finding=one.finding, quantity=one.quantity, severity=one.severity)
        for one in report.findings
        if one.line_id in ours
    )
    flagged = any(one.finding is not Finding.OK for one in findings)
    result = InspectionResult.FINDING if flagged else InspectionResult.OK
    if not report.inspected and not flagged:
        result = InspectionResult.WAIVED
    return Inspection(result=result, findings=findings, at=report.occurred_at)


async def _lightning(
    work: Work, facts: CaseFacts, doorstep: Inspection, *, cancelled: bool
) -> tuple[Verdict, RefundValue | None]:
    """Open the gate only on a line that was really reserved; J20 and the counters follow."""
    value = refund_value(facts)
    # Picked up means scanned; a self-shipped parcel gets here with its first trace (domain 4.4).
    gate = lightning_gate(facts, value.total, True, doorstep.result, work.book, cancelled=cancelled)
    if gate.yes:
        reserved = await credit.reserve(work.session, work.key, work.case.consumer_ref, value.total, work.at)
        if not reserved:
            gate = _credit_gone(gate)
    work.verdicts.append(gate)
    if not gate.yes:
        return gate, None
    for line in value.lines:
        await refunds.add_to_line(work.session, work.case.order_id, line.line_id, line.amount, line.commission)
    work.post(lightning_granted(work.case, value.total))
    return gate, value


async def _give_back_units(work: Work, left_behind: set[str]) -> None:
    """Lines that did not go along stay with the consumer: their units are free for another case."""
    if left_behind:
        rows = update(CaseLineRow).where(
            col(CaseLineRow.case_key) == work.key, col(CaseLineRow.line_id).in_(left_behind)
        )
        await work.session.exec(rows.values(active=False))


def _credit_gone(gate: Verdict) -> Verdict:
    """Another case took the line between our look and the reservation."""
    return otherwise(gate, "closed", [Code.CREDIT_TOO_LOW])


def _ids(facts: CaseFacts) -> set[str]:
    return {line.line_id for line in facts.lines}
