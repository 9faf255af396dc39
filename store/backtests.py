"""What was known of stored cases, for deciding them again. Reads only: in a session of `Store.look`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.facts import BookRef, CaseFacts, Inspection, LineFacts, Verdict
from backhaul.ids import parse_case_key
from backhaul.money import Money
from backhaul.policy.backtest import Again, Claimed, Parcel, Scanned, Settled, Story
from backhaul.policy.settling import Liability
from store.cases import read_cursor
from store.tables import (
    CaseRow,
    CaseStepRow,
    ClaimRow,
    CorrectionRow,
    DecisionRow,
    FactRow,
    InspectionRow,
    PickupMemberRow,
    PickupRow,
    RulingRow,
)

SOME = 200
"""Cases that are read at once, at most."""
REQUEST, SCANNED, UNDISPUTED = "judge_case", "record_pickup", "refund_undisputed"
_RESULTS = ("scan", "settled", "freight_share:", "grant_refund:")
_VERDICTS = ("freight_benefit", "lightning_gate")


@dataclass(frozen=True)
class Wanted:
    """Which cases are looked at. None does not narrow it; `since` and `until` are of the opening."""

    merchant_id: str | None = None
    rma_id: str | None = None
    order_id: str | None = None
    reason: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class StoryPage:
    """Some cases, oldest first, and where to go on."""

    stories: tuple[Story, ...]
    next: str | None


async def stories(session: AsyncSession, wanted: Wanted, after: str | None = None, limit: int = SOME) -> StoryPage:
    """Cases in the order of their opening, after the `next` of the page before, in as many queries for one as for all.

    Raises Refusal(`invalid_input`) for another cursor."""
    found = (await session.exec(_query(wanted, after).limit(limit + 1))).all()
    rows = tuple(found[:limit])
    known = await _known(session, [row.case_key for row in rows])
    told = tuple(_story(row, known) for row in rows)
    more = len(found) > limit
    return StoryPage(told, f"{rows[-1].opened_at.isoformat()}~{rows[-1].case_key}" if more else None)


def _query(wanted: Wanted, after: str | None) -> Any:
    statement = select(CaseRow)
    for column, value in (
        (CaseRow.merchant_id, wanted.merchant_id),
        (CaseRow.rma_id, wanted.rma_id),
        (CaseRow.order_id, wanted.order_id),
        (CaseRow.outcome, wanted.outcome),
    ):
        if value is not None:
            statement = statement.where(col(column) == value)
    opened, key = col(CaseRow.opened_at), col(CaseRow.case_key)
    if wanted.reason is not None:
        statement = statement.where(col(CaseRow.request)["reason"].as_string() == wanted.reason)
    if wanted.since is not None:
        statement = statement.where(opened >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(opened < wanted.until)
    if after is not None:
        at, last = read_cursor(after)
        statement = statement.where(or_(opened > at, and_(opened == at, key > last)))
    return statement.order_by(opened, key)


# ---- reading --------------------------------------------------------------------------------------------------------


@dataclass
class _Known:
    """Rows of some cases, by case."""

    facts: dict[str, dict[str, CaseFacts]] = field(default_factory=lambda: defaultdict(dict))
    steps: dict[str, dict[str, datetime]] = field(default_factory=lambda: defaultdict(dict))
    results: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    verdicts: dict[str, list[tuple[str, Verdict]]] = field(default_factory=lambda: defaultdict(list))
    inspections: dict[str, dict[str, Inspection]] = field(default_factory=lambda: defaultdict(dict))
    claims: dict[str, list[ClaimRow]] = field(default_factory=lambda: defaultdict(list))
    asked: set[str] = field(default_factory=set)
    correcting: set[str] = field(default_factory=set)
    parcels: dict[str, Parcel] = field(default_factory=dict)

    def verdict(self, key: str, step: str, decision: str) -> Verdict | None:
        """The last of a step, of one kind."""
        told = (one for at, one in reversed(self.verdicts[key]) if at == step and one.decision == decision)
        return next(told, None)


async def _known(session: AsyncSession, keys: Sequence[str]) -> _Known:
    known = _Known()
    if not keys:
        return known
    await _read_steps(session, keys, known)
    chosen = or_(col(FactRow.step) != "assess_finding")
    for key, step, facts in await session.exec(
        select(FactRow.case_key, FactRow.step, FactRow.facts).where(col(FactRow.case_key).in_(keys), chosen)
    ):
        known.facts[key][step] = CaseFacts.model_validate(facts)
    for key, step, verdict in await session.exec(
        select(DecisionRow.case_key, DecisionRow.step, DecisionRow.verdict)
        .where(col(DecisionRow.case_key).in_(keys), col(DecisionRow.decision).in_(_VERDICTS))
        .order_by(col(DecisionRow.seq))
    ):
        known.verdicts[key].append((step, Verdict.model_validate(verdict)))
    for row in await session.exec(select(InspectionRow).where(col(InspectionRow.case_key).in_(keys))):
        seen = {"result": row.result, "findings": row.findings, "at": row.at}
        known.inspections[row.case_key][row.kind] = Inspection.model_validate(seen)
    for claim in await session.exec(select(ClaimRow).where(col(ClaimRow.case_key).in_(keys))):
        known.claims[claim.case_key].append(claim)
    rulings = select(RulingRow.case_key).where(
        col(RulingRow.case_key).in_(keys), col(RulingRow.decides) == "authorization"
    )
    known.asked = set(await session.exec(rulings))
    open_ones = select(CorrectionRow.case_key).where(
        col(CorrectionRow.case_key).in_(keys), col(CorrectionRow.closed_at).is_(None)
    )
    known.correcting = set(await session.exec(open_ones))
    await _read_parcels(session, known)
    return known


async def _read_steps(session: AsyncSession, keys: Sequence[str], known: _Known) -> None:
    mine = col(CaseStepRow.case_key).in_(keys)
    for key, step, at in await session.exec(
        select(CaseStepRow.case_key, CaseStepRow.step, CaseStepRow.at).where(mine).order_by(col(CaseStepRow.at))
    ):
        known.steps[key][step] = at
    wanted = or_(*(col(CaseStepRow.step).startswith(word, autoescape=True) for word in _RESULTS))
    for key, step, result in await session.exec(
        select(CaseStepRow.case_key, CaseStepRow.step, CaseStepRow.result).where(mine, wanted)
    ):
        known.results[key][step] = dict(result)


async def _read_parcels(session: AsyncSession, known: _Known) -> None:
    """Who shared a waybill with the cases: lines of cases outside the page are read too."""
    shared = {step.partition(":")[2] for steps in known.results.values() for step in _shares(steps)}
    if not shared:
        return
    members: dict[str, list[str]] = defaultdict(list)
    for pickup_id, key in await session.exec(
        select(PickupMemberRow.pickup_id, PickupMemberRow.case_key).where(
            col(PickupMemberRow.pickup_id).in_(shared), col(PickupMemberRow.share_minor).is_not(None)
        )
    ):
        members[pickup_id].append(key)
    everyone = {key for keys in members.values() for key in keys}
    lines = {key: _travelled(known.facts[key]) for key in everyone if key in known.facts}
    left: dict[tuple[str, str], Money] = {}
    others = everyone - set(lines)
    for key, step, facts in await session.exec(
        select(FactRow.case_key, FactRow.step, FactRow.facts)
        .where(col(FactRow.case_key).in_(others), col(FactRow.step).in_((REQUEST, SCANNED)))
        .order_by(col(FactRow.step))
    ):
        del step  # the request's facts come first, the scan's take their place
        lines[key] = CaseFacts.model_validate(facts).lines
    for key, step, result in await session.exec(
        select(CaseStepRow.case_key, CaseStepRow.step, CaseStepRow.result).where(
            col(CaseStepRow.case_key).in_(everyone), col(CaseStepRow.step).startswith("freight_share:", autoescape=True)
        )
    ):
        left[step.partition(":")[2], key] = Money.model_validate(result["remaining"])
    for row in await session.exec(select(PickupRow).where(col(PickupRow.pickup_id).in_(shared))):
        on_board = {parse_case_key(key).rma_id: lines[key] for key in members[row.pickup_id] if key in lines}
        had = [left[row.pickup_id, key] for key in members[row.pickup_id] if (row.pickup_id, key) in left]
        if on_board and had:
            known.parcels[row.pickup_id] = Parcel(on_board, row.zone, max(had))


def _shares(steps: Iterable[str]) -> Iterator[str]:
    return (step for step in steps if step.startswith("freight_share:"))


def _travelled(facts: dict[str, CaseFacts]) -> tuple[LineFacts, ...]:
    return (facts.get(SCANNED) or facts[REQUEST]).lines


# ---- putting together -----------------------------------------------------------------------------------------------


def _story(row: CaseRow, known: _Known) -> Story:
    key, first = row.case_key, row.judgement or {}
    facts = known.facts[key]
    offer = first.get("offer")
    regions = (row.status or {}).get("regions", {})
    authorization = str(regions.get("authorization", ""))
    scan = _scan(row, known) if SCANNED in facts and "scan" in known.results[key] else None
    granted = next(
        ((step.partition(":")[2], facts[step]) for step in known.results[key] if step.startswith("grant_refund:")), None
    )
    said = str(first.get("outcome", ""))
    passed = authorization in {"authorized", "retained"} or scan is not None or granted is not None
    gave_up = authorization in {"withdrawn", "expired"} and said != "info_requested"
    refused = said in {"merchant_review", "info_requested"} and (authorization == "declined" or key in known.asked)
    return Story(
        merchant_id=row.merchant_id,
        rma_id=row.rma_id,
        order_id=row.order_id,
        opened_at=row.opened_at,
        book=BookRef(version=row.book_version, hash=row.book_hash),
        facts=facts[REQUEST],
        first=said,
        outcome=row.outcome if row.closed_at is not None else None,
        zone=row.request.get("zone"),
        may_decline=bool(first.get("may_decline", True)),
        platform=bool(first.get("platform", False)),
        offer=None if offer is None else Money.model_validate(offer),
        risk=first.get("risk", "allow"),
        refused=refused,
        went_on=passed or gave_up,
        correcting=key in known.correcting,
        granted=granted,
        scan=scan,
        claims=_claims(known.claims[key]),
    )


def _claims(rows: Sequence[ClaimRow]) -> tuple[Claimed, ...]:
    appealed = {row.appeal_of for row in rows}
    return tuple(
        Claimed(
            kind=row.kind,
            claimed=Money(minor=row.reserved_minor, currency=row.currency),
            approved=Money(minor=row.approved_minor if row.state in ("approved", "paid") else 0, currency=row.currency),
            appealed=row.claim_ref in appealed,
        )
        for row in rows
    )


def _scan(row: CaseRow, known: _Known) -> Scanned:
    key, currency = row.case_key, row.currency
    facts, results = known.facts[key], known.results[key]
    gate = known.verdict(key, SCANNED, "lightning_gate")
    freight = known.verdict(key, SCANNED, "freight_benefit")
    numbers = {} if freight is None else freight.numbers
    share = _money(numbers.get("freight"), currency)
    beyond = _money(numbers.get("above_tariff"), currency)
    pickup = next((known.parcels.get(step.partition(":")[2]) for step in _shares(results)), None)
    return Scanned(
        facts=facts[SCANNED],
        at=known.steps[key]["scan"],
        door=known.inspections[key].get("doorstep"),
        cancelled=gate is not None and "cancelled_first" in gate.reasons,
        credit_refused=gate is not None and _credit_refused(gate),
        share=share if share is None or beyond is None else share + beyond,
        remaining=_money(numbers.get("remaining"), currency),
        parcel=pickup,
        undisputed=facts.get(UNDISPUTED),
        settled=_settled(key, known, currency),
        again=tuple(_again(key, known, currency)),
    )


def _credit_refused(gate: Verdict) -> bool:
    """Was the amount free by the facts, and taken when it was to be reserved?"""
    amount, free = gate.numbers.get("amount"), gate.numbers.get("free_credit")
    return gate.reasons == ("credit_too_low",) and isinstance(amount, int) and isinstance(free, int) and amount <= free


def _settled(key: str, known: _Known, currency: str) -> Settled | None:
    kept = known.results[key].get("settled")
    if kept is None:
        return None
    at = known.steps[key]["settled"]
    step = _step_at("settle_case:", at, key, known)
    facts = known.facts[key].get(step)
    if facts is None:
        return None
    delivered = kept.get("delivered_at")
    return Settled(
        facts=facts,
        at=at,
        event=step.split(":")[1],
        found=_liability(kept),
        receipt=known.inspections[key].get("receipt"),
        delivered_at=None if delivered is None else datetime.fromisoformat(delivered),
        remaining=_remaining(kept),
    )


def _again(key: str, known: _Known, currency: str) -> Iterator[Again]:
    """Every later version of the amounts, with the facts under the correction's name."""
    versions = [step for step in known.results[key] if step.startswith("settled.")]
    for version in sorted(versions, key=lambda step: int(step.partition(".")[2])):
        step = _step_at("resettle:", known.steps[key][version], key, known)
        named = [name for name in known.facts[key] if step == name or step.startswith(f"{name}:")]
        if not named:
            continue
        facts = known.facts[key][max(named, key=len)]
        kept = known.results[key][version]
        yield Again(facts, _liability(kept), _remaining(kept))


def _step_at(prefix: str, at: datetime, key: str, known: _Known) -> str:
    """The step that was recorded in one transaction with its amounts: at the same time, the last word of several."""
    steps = [step for step in known.steps[key] if step.startswith(prefix)]
    same = [step for step in steps if known.steps[key][step] == at] or steps
    return max(same, key=lambda step: (known.steps[key][step], len(step)), default="")


def _liability(kept: dict[str, Any]) -> Liability:
    found = kept.get("found")
    return Liability.model_validate(found if found is not None else {"liable": kept["result"]["liable"]})


def _remaining(kept: dict[str, Any]) -> Money | None:
    left = kept.get("remaining")
    return None if left is None else Money.model_validate(left)


def _money(minor: object, currency: str) -> Money | None:
    return Money(minor=minor, currency=currency) if isinstance(minor, int) else None
