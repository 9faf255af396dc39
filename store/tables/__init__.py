"""Every table. Columns only: what they mean is in the queries beside this package, what is right in `backhaul`."""

from store.tables.base import Table
from store.tables.cases import (
    CaseLineRow,
    CaseRow,
    CaseStepRow,
    DecisionRow,
    FactRow,
    IdempotencyRow,
    InspectionRow,
)
from store.tables.corrections import CorrectionRow, SweepCursorRow, UnclaimedRow
from store.tables.disputes import AppealRow, EvidenceRow
from store.tables.guards import guard
from store.tables.journal import BatchRow, CutRow, EntryLineRow, EntryRow, HoldRow, JournalHeadRow, LegRow
from store.tables.money import (
    ApprovalRow,
    ClaimRow,
    CreditEventRow,
    CreditHoldRow,
    EffectRow,
    InboxRow,
    RecoveryRow,
    RulingRow,
)
from store.tables.orders import ConsumerRow, CoverageRow, MerchantRow, OrderLineRow, OrderRow, PaymentRow
from store.tables.pickups import PickupMemberRow, PickupRow, WaybillRow
from store.tables.reconciliation import FindingRow, ReconciliationRow, StatementCursorRow, StatementRow

metadata = Table.metadata
guard(metadata)

__all__ = [
    "AppealRow",
    "ApprovalRow",
    "BatchRow",
    "CaseLineRow",
    "CaseRow",
    "CaseStepRow",
    "ClaimRow",
    "ConsumerRow",
    "CorrectionRow",
    "CoverageRow",
    "CreditEventRow",
    "CreditHoldRow",
    "CutRow",
    "DecisionRow",
    "EffectRow",
    "EntryLineRow",
    "EntryRow",
    "EvidenceRow",
    "FactRow",
    "FindingRow",
    "HoldRow",
    "IdempotencyRow",
    "InboxRow",
    "InspectionRow",
    "JournalHeadRow",
    "LegRow",
    "MerchantRow",
    "OrderLineRow",
    "OrderRow",
    "PaymentRow",
    "PickupMemberRow",
    "PickupRow",
    "ReconciliationRow",
    "RecoveryRow",
    "RulingRow",
    "StatementCursorRow",
    "StatementRow",
    "SweepCursorRow",
    "Table",
    "UnclaimedRow",
    "WaybillRow",
    "metadata",
]
