"""What the read model says of a case: after the close, after retention, and while no worker can answer."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict

from backhaul.facts import Liable, Text, Token
from backhaul.ids import parse_case_key
from backhaul.messages import CaseStatus, CorrectionStatus, FirstDecision, MoneyView
from backhaul.money import Money
from backhaul.recoveries import RecoveryStatus
from store.tables import CaseRow, CorrectionRow, RecoveryRow


class View(BaseModel):
    """Base of the API's own answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CaseSummary(View):
    """One case in a list."""

    merchant_id: Token
    rma_id: Token
    order_id: Token
    stage: str
    outcome: str | None
    reopens: Token | None
    waiting_on: str | None
    attention: str | None
    due_at: AwareDatetime | None
    refundable: Money
    refunded: Money
    indemnified: Money
    opened_at: AwareDatetime
    updated_at: AwareDatetime
    closed_at: AwareDatetime | None


class CaseList(View):
    """A page of cases, newest first. `next` goes into `after` for the page that follows; null at the end."""

    cases: tuple[CaseSummary, ...]
    next: str | None


def summary_of(row: CaseRow) -> CaseSummary:
    """A row as a list shows it."""
    return CaseSummary(
        merchant_id=row.merchant_id,
        rma_id=row.rma_id,
        order_id=row.order_id,
        stage=row.stage,
        outcome=row.outcome,
        reopens=_rma(row.reopens),
        waiting_on=row.waiting_on,
        attention=row.attention,
        due_at=row.due_at,
        refundable=_money(row, row.refundable_minor),
        refunded=_money(row, row.refunded_minor),
        indemnified=_money(row, row.indemnified_minor),
        opened_at=row.opened_at,
        updated_at=row.updated_at,
        closed_at=row.closed_at,
    )


def status_of(row: CaseRow, corrected: tuple[CorrectionStatus, ...] = ()) -> CaseStatus:
    """The last view that was kept, with its corrections; without one, what the row's columns know."""
    if row.status is not None:
        return CaseStatus.model_validate(row.status).model_copy(update={"corrections": corrected})
    gone = row.refunded_minor + row.withheld_minor
    return CaseStatus(
        merchant_id=row.merchant_id,
        rma_id=row.rma_id,
        order_id=row.order_id,
        stage=row.stage,
        outcome=row.outcome,
        regions={},
        money=MoneyView(
            paid=_money(row, row.refundable_minor),
            refundable=_money(row, row.refundable_minor),
            refunded=_money(row, row.refunded_minor),
            refund_under_way=_money(row, 0),
            withheld=_money(row, row.withheld_minor),
            indemnified=_money(row, row.indemnified_minor),
            freight=_money(row, row.freight_minor),
            remaining=_money(row, max(0, row.refundable_minor - gone)),
        ),
        reopens=_rma(row.reopens),
        closed=row.closed_at is not None,
        corrections=corrected,
    )


def correction_of(row: CorrectionRow) -> CorrectionStatus:
    """A correction as the database knows it."""
    case = parse_case_key(row.case_key)
    return CorrectionStatus(
        merchant_id=case.merchant_id,
        rma_id=case.rma_id,
        n=row.n,
        kind=row.kind,
        state=row.state,
        outcome=row.outcome,
        workflow_id=row.workflow_id,
        event_id=row.event_id,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
    )


def recovery_of(row: RecoveryRow) -> RecoveryStatus:
    """A recovery as the database knows it."""
    case = parse_case_key(row.case_key)

    def money(minor: int) -> Money:
        return Money(minor=minor, currency=row.currency)

    return RecoveryStatus(
        merchant_id=case.merchant_id,
        rma_id=case.rma_id,
        claim_ref=row.claim_ref,
        recovery_ref=row.recovery_ref,
        workflow_id=row.workflow_id,
        liable=Liable(row.liable),
        state=row.state,
        amount=money(row.amount_minor),
        collected=money(row.in_hand_minor + row.collected_minor),
        remitted=money(row.remitted_minor),
        written_off=money(row.written_off_minor),
        opened_at=row.at,
    )


def first_decision_of(row: CaseRow) -> FirstDecision | None:
    """The first decision as it was kept; None before the judgement."""
    kept = row.judgement
    if kept is None:
        return None
    return FirstDecision(
        merchant_id=row.merchant_id,
        rma_id=row.rma_id,
        workflow_id=row.workflow_id,
        outcome=kept["outcome"],
        reasons=tuple(kept["reasons"]),
        refundable=Money.model_validate(kept["refundable"]),
        rfi=kept["rfi"],
        rdv=kept["rdv"],
        book_version=row.book_version,
        text=Text.model_validate(kept["text"]),
    )


def _rma(key: str | None) -> str | None:
    return None if key is None else parse_case_key(key).rma_id


def _money(row: CaseRow, minor: int) -> Money:
    return Money(minor=minor, currency=row.currency)
