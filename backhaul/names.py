"""Names on the wire: workflow types, queues, updates, queries, search attributes. One table each, used by everybody."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

NAMESPACE = "default"

QUEUE = "backhaul"
QUEUE_PAYMENTS = "backhaul-payments"
QUEUE_COURIERS = "backhaul-couriers"
QUEUES = (QUEUE, QUEUE_PAYMENTS, QUEUE_COURIERS)


class WorkflowType(StrEnum):
    """Registered workflow types."""

    RETURN_CASE = "ReturnCase"
    CORRECTION = "Correction"
    RECOVERY = "Recovery"
    DISPUTE = "Dispute"
    SETTLEMENT_CYCLE = "SettlementCycle"
    SETTLEMENT = "Settlement"
    RECONCILIATION = "Reconciliation"


SETTLEMENT_SCHEDULE = "settlement-cycle"
"""Id of the Temporal Schedule that starts SettlementCycle."""
RECONCILIATION_SCHEDULE = "reconciliation:daily"
"""Id of the Temporal Schedule that starts Reconciliation, and the beginning of the workflow ids it makes."""
RESOLVE_FINDING = "resolve_finding"
"""The one update that only Reconciliation takes."""
REPORT_QUERY = "report"
"""The query of Reconciliation: its latest report."""

LEFT_ALONE = "left_alone"
"""Signal of a parked Settlement to its SettlementCycle: do not wait for me."""


class Update(StrEnum):
    """Updates of ReturnCase. The value is the wire name and the last part of the API's path."""

    FIRST_DECISION = "first_decision"
    WITHDRAW = "withdraw"
    ANSWER_OFFER = "answer_offer"
    ANSWER_FINDING = "answer_finding"
    PROVIDE_WAYBILL = "provide_waybill"
    PROVIDE_ACCOUNT = "provide_account"
    ESCALATE = "escalate"
    ANSWER_INFO = "answer_info"
    REQUEST_INFO = "request_info"
    AUTHORIZE = "authorize"
    DECLINE = "decline"
    CONFIRM_RECEIPT = "confirm_receipt"
    REPORT_RECEIPT_ISSUE = "report_receipt_issue"
    SUBMIT_EVIDENCE = "submit_evidence"
    REPORT_PICKUP = "report_pickup"
    REPORT_TRACKING = "report_tracking"
    REPORT_PAYMENT = "report_payment"
    RETRY_STEP = "retry_step"
    SKIP_STEP = "skip_step"
    EXTEND_DEADLINE = "extend_deadline"
    APPLY_RULING = "apply_ruling"
    APPLY_APPROVAL = "apply_approval"
    CLOSE_CASE = "close_case"
    APPEAL = "appeal"


class Role(StrEnum):
    """Who may send what. `service` opens returns and imports orders; `approver` signs approvals and rulings."""

    SERVICE = "service"
    CONSUMER = "consumer"
    MERCHANT = "merchant"
    COURIER = "courier"
    OPERATOR = "operator"
    APPROVER = "approver"
    AUDITOR = "auditor"


_BY_ROLE: dict[Role, tuple[Update, ...]] = {
    Role.CONSUMER: (
        Update.WITHDRAW,
        Update.ANSWER_OFFER,
        Update.ANSWER_FINDING,
        Update.PROVIDE_WAYBILL,
        Update.PROVIDE_ACCOUNT,
        Update.ESCALATE,
        Update.ANSWER_INFO,
    ),
    Role.MERCHANT: (
        Update.AUTHORIZE,
        Update.DECLINE,
        Update.CONFIRM_RECEIPT,
        Update.REPORT_RECEIPT_ISSUE,
        Update.SUBMIT_EVIDENCE,
        Update.REQUEST_INFO,
    ),
    Role.COURIER: (Update.REPORT_PICKUP, Update.REPORT_TRACKING),
    Role.SERVICE: (Update.REPORT_PAYMENT,),
    Role.OPERATOR: (
        Update.RETRY_STEP,
        Update.SKIP_STEP,
        Update.EXTEND_DEADLINE,
        Update.APPLY_RULING,
        Update.APPLY_APPROVAL,
        Update.CLOSE_CASE,
    ),
}
ROLE_OF: dict[Update, Role] = {update: role for role, updates in _BY_ROLE.items() for update in updates}
"""The role each update belongs to (architecture 2)."""

INTERNAL = frozenset({Update.FIRST_DECISION, Update.APPEAL})
"""Updates that nobody sends by themselves: they belong to another call."""

ALSO_BY: dict[Update, tuple[Role, ...]] = {Update.SUBMIT_EVIDENCE: (Role.CONSUMER,)}
"""Who else may send an update: evidence is given by both sides."""


def roles_of(update: Update) -> tuple[Role, ...]:
    """Every role that may send an update."""
    return (ROLE_OF[update], *ALSO_BY.get(update, ()))


UPDATE_DESCRIPTIONS: dict[Update, str] = {
    Update.FIRST_DECISION: "The first decision on the case; sent with the start.",
    Update.WITHDRAW: "Consumer takes the return back, before the courier's scan.",
    Update.ANSWER_OFFER: "Consumer answers a save-the-sale offer.",
    Update.ANSWER_FINDING: "Consumer answers a doorstep finding: accept, dispute or withdraw.",
    Update.PROVIDE_WAYBILL: "Consumer gives the waybill of a parcel sent by themselves.",
    Update.PROVIDE_ACCOUNT: "Consumer names another account for a refund that the old one refused.",
    Update.ESCALATE: "Consumer asks the platform to review a refusal.",
    Update.ANSWER_INFO: "Consumer answers what was asked about the request.",
    Update.REQUEST_INFO: "Merchant asks the consumer for information before deciding, once.",
    Update.AUTHORIZE: "Merchant accepts the request.",
    Update.DECLINE: "Merchant refuses the request, with a reason.",
    Update.CONFIRM_RECEIPT: "Merchant confirms that the goods came back in order.",
    Update.REPORT_RECEIPT_ISSUE: "Merchant reports damaged, wrong or missing goods, with evidence.",
    Update.SUBMIT_EVIDENCE: "A party adds evidence by reference and hash.",
    Update.REPORT_PICKUP: "Courier reports a visit: picked_up with the doorstep check, missed, no_show, rejected.",
    Update.REPORT_TRACKING: "Courier reports the parcel: in_transit, delivered, lost, found, returned.",
    Update.REPORT_PAYMENT: "Payment provider's news of a refund: decided, or come back; its books are asked.",
    Update.RETRY_STEP: "Operator: try the parked step again (same payment key).",
    Update.SKIP_STEP: "Operator: go on without the parked step; money needs the provider's proof or an approval.",
    Update.EXTEND_DEADLINE: "Operator: give the present wait more time.",
    Update.APPLY_RULING: "Operator: carry out a ruling made by an authenticated reviewer, by its id.",
    Update.APPLY_APPROVAL: "Operator: carry out an approval made by a second person, by its id.",
    Update.CLOSE_CASE: "Operator: close a case whose goods were never collected and that has no money under way.",
    Update.APPEAL: "Consumer or merchant asks for another reviewer, once; sent by the API after its checks.",
}


class Query(StrEnum):
    """Queries of ReturnCase."""

    STATUS = "status"
    EXPLAIN = "explain"


DISPUTE_PROGRESS = "dispute_progress"
"""Signal with which a dispute tells its parent how far it is."""
HEARD, RULED, EXTENDED = "heard", "ruled", "extended"
"""Signals with which a workflow hands on to its dispute what came in at its own doors."""


class SearchAttribute(NamedTuple):
    """One search attribute: name, Temporal's type, what it says."""

    name: str
    kind: str
    meaning: str


STAGE = "ReturnStage"
WAITING_ON = "ReturnWaitingOn"
ATTENTION = "ReturnAttention"
MERCHANT_ID = "ReturnMerchantId"
ORDER_ID = "ReturnOrderId"
AMOUNT = "ReturnAmount"
DUE_AT = "ReturnDueAt"

SEARCH_ATTRIBUTES: tuple[SearchAttribute, ...] = (
    SearchAttribute(STAGE, "Keyword", "Where the case is: authorizing, pickup, transit, receipt, ... closed"),
    SearchAttribute(WAITING_ON, "Keyword", "The party whose act the case waits for"),
    SearchAttribute(ATTENTION, "Keyword", "Why the case is parked; unset while it is not"),
    SearchAttribute(MERCHANT_ID, "Keyword", "The merchant"),
    SearchAttribute(ORDER_ID, "Keyword", "The order"),
    SearchAttribute(AMOUNT, "Int", "Refundable amount in minor units"),
    SearchAttribute(DUE_AT, "Datetime", "When the present wait ends by itself"),
)
SEARCH_VALUE_LIMIT = 200
"""Bytes; longer values are cut, since the server refuses the workflow task otherwise."""


def clamp(value: str) -> str:
    """Cut a search attribute's value to its limit in bytes, at a character's border."""
    return value.encode()[:SEARCH_VALUE_LIMIT].decode(errors="ignore")
