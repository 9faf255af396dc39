"""Cases: the read model, the facts and decisions, and the answers of steps. Architecture 3.5, 5."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlalchemy import and_, func, or_, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from backhaul.errors import Refusal, Rejected
from backhaul.facts import Finding, Inspection, Verdict, digest
from backhaul.ids import parse_case_key
from backhaul.messages import CaseStatus, Explanation
from backhaul.money import Money
from store.sql import insert_all, insert_once
from store.tables import CaseLineRow, CaseRow, CaseStepRow, DecisionRow, FactRow, InspectionRow

M = TypeVar("M", bound=BaseModel)


async def insert(session: AsyncSession, row: CaseRow, lines: Iterable[tuple[str, int]]) -> None:
    """Keep a new case with its units: (line_id, quantity). Raises Refusal(`return_conflict`) for a key in use."""
    if not await insert_once(session, row):
        raise Refusal("return_conflict", field="rma_id")
    units = [
        {
            "case_key": row.case_key,
            "line_id": line_id,
            "order_id": row.order_id,
            "quantity": count,
            "active": True,
        }
        for line_id, count in lines
    ]
    await insert_all(session, CaseLineRow, units)


async def get(session: AsyncSession, case_key: str, *, lock: bool = False) -> CaseRow | None:
    """A case by `merchant/rma`."""
    statement = select(CaseRow).where(CaseRow.case_key == case_key)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return (await session.exec(statement)).first()


async def need(session: AsyncSession, case_key: str, *, lock: bool = False) -> CaseRow:
    """A case that must be there. Raises Refusal(`not_found`)."""
    row = await get(session, case_key, lock=lock)
    if row is None:
        raise Refusal("not_found", f"there is no case {case_key}")
    return row


async def lines_of(session: AsyncSession, case_key: str) -> dict[str, int]:
    """Units per line of the order that the case returns."""
    found = select(CaseLineRow.line_id, CaseLineRow.quantity).where(CaseLineRow.case_key == case_key)
    return dict((await session.exec(found)).all())


async def reopened_by(session: AsyncSession, case_key: str) -> str | None:
    """The case that goes on from this one (X2), if any."""
    return (await session.exec(select(CaseRow.case_key).where(CaseRow.reopens == case_key))).first()


async def release_units(session: AsyncSession, case_key: str) -> None:
    """The case returns nothing any more: its units are free for another one."""
    await session.exec(update(CaseLineRow).where(col(CaseLineRow.case_key) == case_key).values(active=False))


# ---- steps ----------------------------------------------------------------------------------------------------------


async def recorded(
    session: AsyncSession, case_key: str, step: str, model: type[M], argument: BaseModel | None = None
) -> M | None:
    """What the step answered before, if it ran. With `argument`, Rejected(`invariant_broken`) for another one."""
    statement = select(CaseStepRow).where(CaseStepRow.case_key == case_key, CaseStepRow.step == step)
    row = (await session.exec(statement)).first()
    if row is None:
        return None
    if argument is not None and row.argument_hash != digest(argument):
        raise Rejected("invariant_broken", f"{step} of {case_key} was run before with another argument")
    return model.model_validate(row.result)


async def has_step(session: AsyncSession, case_key: str, step: str) -> bool:
    """Did the step run?"""
    found = select(CaseStepRow.step).where(CaseStepRow.case_key == case_key, CaseStepRow.step == step)
    return (await session.exec(found)).first() is not None


async def record(
    session: AsyncSession, case_key: str, step: str, argument: BaseModel, result: BaseModel, at: datetime
) -> None:
    """Keep what a step answers, once. A second answer is a unique violation: run the step again and read the first."""
    session.add(
        CaseStepRow(
            case_key=case_key,
            step=step,
            argument_hash=digest(argument),
            result=result.model_dump(mode="json"),
            at=at,
        )
    )
    await session.flush()


# ---- facts, decisions, inspections -----------------------------------------------------------------------------------


async def store_facts(session: AsyncSession, case_key: str, step: str, facts: BaseModel) -> str:
    """Keep what a step was decided on, once; its hash."""
    content = digest(facts)
    row = FactRow(case_key=case_key, step=step, hash=content, facts=facts.model_dump(mode="json"))
    await insert_once(session, row)
    return content


async def facts_of(session: AsyncSession, case_key: str, step: str, model: type[M]) -> M | None:
    """What a step was decided on."""
    row = (await session.exec(select(FactRow).where(FactRow.case_key == case_key, FactRow.step == step))).first()
    return None if row is None else model.model_validate(row.facts)


async def add_decisions(
    session: AsyncSession, case_key: str, step: str, verdicts: Sequence[Verdict], at: datetime
) -> None:
    """Keep verdicts, after those that are there."""
    if not verdicts:
        return
    last = select(func.coalesce(func.max(DecisionRow.seq), 0)).where(DecisionRow.case_key == case_key)
    first = (await session.exec(last)).one() + 1
    rows = [
        {
            "case_key": case_key,
            "seq": seq,
            "step": step,
            "decision": verdict.decision,
            "outcome": verdict.outcome,
            "verdict": verdict.model_dump(mode="json"),
            "facts_hash": verdict.facts_hash,
            "book_version": verdict.book.version,
            "book_hash": verdict.book.hash,
            "at": at,
        }
        for seq, verdict in enumerate(verdicts, first)
    ]
    await insert_all(session, DecisionRow, rows)


async def decisions(session: AsyncSession, case_key: str, step: str | None = None) -> tuple[Verdict, ...]:
    """Every verdict of a case, or of one of its steps, in the order made."""
    found = select(DecisionRow.verdict).where(DecisionRow.case_key == case_key)
    if step is not None:
        found = found.where(DecisionRow.step == step)
    rows = await session.exec(found.order_by(col(DecisionRow.seq)))
    return tuple(Verdict.model_validate(verdict) for verdict in rows)


async def explanation(session: AsyncSession, case_key: str) -> Explanation:
    """The case's decisions as callers read them, also when its history is gone. Raises Refusal(`not_found`)."""
    await need(session, case_key)
    case = parse_case_key(case_key)
    return Explanation(merchant_id=case.merchant_id, rma_id=case.rma_id, decisions=await decisions(session, case_key))


SWAPPED = frozenset({Finding.MISMATCH, Finding.MISSING, Finding.COUNTERFEIT})
"""Findings that the risk rules count: other goods than were sold, or fewer."""


async def save_inspection(
    session: AsyncSession, case_key: str, kind: str, inspection: Inspection, event_id: str | None = None
) -> None:
    """Keep the `doorstep` or `receipt` inspection; the first report of a kind stays."""
    row = InspectionRow(
        case_key=case_key,
        kind=kind,
        result=inspection.result.value,
        findings=[finding.model_dump(mode="json") for finding in inspection.findings],
        swaps=sum(max(1, one.quantity) for one in inspection.findings if one.finding in SWAPPED),
        event_id=event_id,
        at=inspection.at,
    )
    await insert_once(session, row)


async def inspection(session: AsyncSession, case_key: str, kind: str) -> Inspection | None:
    """The `doorstep` or `receipt` inspection."""
    found = select(InspectionRow).where(InspectionRow.case_key == case_key, InspectionRow.kind == kind)
    row = (await session.exec(found)).first()
    if row is None:
        return None
    return Inspection.model_validate({"result": row.result, "findings": row.findings, "at": row.at})


# ---- the read model --------------------------------------------------------------------------------------------------


async def set_stage(
    session: AsyncSession,
    case_key: str,
    stage: str,
    at: datetime,
    *,
    waiting_on: str | None = None,
    attention: str | None = None,
    due_at: datetime | None = None,
) -> None:
    """Where the case is now, for lists."""
    values = {
        "stage": stage,
        "waiting_on": waiting_on,
        "attention": attention,
        "due_at": due_at,
        "updated_at": at,
    }
    await session.exec(update(CaseRow).where(col(CaseRow.case_key) == case_key).values(**values))


async def save_status(session: AsyncSession, status: CaseStatus, at: datetime) -> None:
    """Keep the case's whole view, and what lists show of it."""
    waiting, attention = status.waiting, status.attention
    values: dict[str, Any] = {
        "status": status.model_dump(mode="json"),
        "stage": status.stage,
        "waiting_on": waiting.on.value if waiting else None,
        "attention": attention.reason if attention else None,
        "due_at": attention.due if attention else waiting.due if waiting else None,
        "updated_at": at,
    }
    case_key = f"{status.merchant_id}/{status.rma_id}"
    await session.exec(update(CaseRow).where(col(CaseRow.case_key) == case_key).values(**values))


async def save_corrected(session: AsyncSession, case_key: str, regions: Mapping[str, str], at: datetime) -> None:
    """A correction moved regions of a closed case, and its money: its last view shows them."""
    row = await need(session, case_key, lock=True)
    if row.status is not None:
        kept = CaseStatus.model_validate(row.status)
        refunded = Money(minor=row.refunded_minor, currency=row.currency)
        indemnified = Money(minor=row.indemnified_minor, currency=row.currency)
        money = kept.money.model_copy(update={"refunded": refunded, "indemnified": indemnified})
        view = kept.model_copy(update={"regions": {**kept.regions, **regions}, "money": money})
        row.status = view.model_dump(mode="json")
    row.updated_at = at
    session.add(row)


async def add_money(
    session: AsyncSession,
    case_key: str,
    *,
    refunded: int = 0,
    withheld: int = 0,
    indemnified: int = 0,
    freight: int = 0,
) -> None:
    """Count minor units on the case, for lists and statements; the journal is what counts."""
    row = update(CaseRow).where(col(CaseRow.case_key) == case_key)
    await session.exec(
        row.values(
            refunded_minor=col(CaseRow.refunded_minor) + refunded,
            withheld_minor=col(CaseRow.withheld_minor) + withheld,
            indemnified_minor=col(CaseRow.indemnified_minor) + indemnified,
            freight_minor=col(CaseRow.freight_minor) + freight,
        )
    )


async def close(session: AsyncSession, case_key: str, outcome: str, at: datetime) -> None:
    """The case is over; the first close stays."""
    await session.exec(
        update(CaseRow)
        .where(col(CaseRow.case_key) == case_key, col(CaseRow.closed_at).is_(None))
        .values(
            stage="closed",
            outcome=outcome,
            waiting_on=None,
            attention=None,
            due_at=None,
            closed_at=at,
            updated_at=at,
        )
    )


@dataclass(frozen=True)
class CaseFilter:
    """What a list shows. None does not narrow it."""

    merchant_id: str | None = None
    order_id: str | None = None
    consumer_ref: str | None = None
    stage: str | None = None
    parked: bool | None = None
    closed: bool | None = None


@dataclass(frozen=True)
class CasePage:
    """Some cases, newest first, and where to go on."""

    cases: tuple[CaseRow, ...]
    next: str | None


async def list_cases(session: AsyncSession, wanted: CaseFilter, after: str | None = None, limit: int = 50) -> CasePage:
    """Cases, newest first, after the `next` of the page before. Raises Refusal(`invalid_input`) for another cursor."""
    statement = select(CaseRow)
    for column, value in (
        (CaseRow.merchant_id, wanted.merchant_id),
        (CaseRow.order_id, wanted.order_id),
        (CaseRow.consumer_ref, wanted.consumer_ref),
        (CaseRow.stage, wanted.stage),
    ):
        if value is not None:
            statement = statement.where(col(column) == value)
    for moment, there in ((CaseRow.attention, wanted.parked), (CaseRow.closed_at, wanted.closed)):
        if there is not None:
            statement = statement.where(col(moment).is_not(None) if there else col(moment).is_(None))
    opened, key = col(CaseRow.opened_at), col(CaseRow.case_key)
    if after is not None:
        at, last = read_cursor(after)
        statement = statement.where(or_(opened < at, and_(opened == at, key < last)))
    found = (await session.exec(statement.order_by(opened.desc(), key.desc()).limit(limit + 1))).all()
    rows = tuple(found[:limit])
    more = len(found) > limit
    return CasePage(rows, f"{rows[-1].opened_at.isoformat()}~{rows[-1].case_key}" if more else None)


def read_cursor(text: str) -> tuple[datetime, str]:
    """Where a page of cases ended. Raises Refusal(`invalid_input`) for other text."""
    at, _, key = text.partition("~")
    try:
        opened = datetime.fromisoformat(at)
    except ValueError as error:
        raise Refusal("invalid_input", "this is no cursor of a list of cases", field="after") from error
    if opened.tzinfo is None:
        raise Refusal("invalid_input", "this is no cursor of a list of cases", field="after")
    return opened, key
