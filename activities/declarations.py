"""Every activity, declared once: wire name, types, queue, timeouts, retries, summary.

Imports no implementation, so that workflow modules may import it. A test checks that each declaration has
exactly one implementation with the same types, and that each is registered with the worker.

Two kinds. A `Step` touches only our own database: it runs as a local activity within two seconds, then as a
regular one (architecture 4). An `Effect` touches the world outside: it carries a key, heartbeats, and is
re-entrant at every point (architecture 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from temporalio.common import RetryPolicy

from activities import contract as c
from backhaul.facts import Frozen
from backhaul.names import QUEUE, QUEUE_COURIERS, QUEUE_PAYMENTS

A = TypeVar("A", bound=Frozen)
R = TypeVar("R", bound=Frozen)

NEVER_AGAIN = ["Rejected"]
"""Error types that no retry policy repeats: a business no stays a no."""

LOCAL = RetryPolicy(
    initial_interval=timedelta(milliseconds=100),
    maximum_interval=timedelta(milliseconds=500),
    maximum_attempts=4,  # the time limit alone does not end retries: it is looked at within an attempt only
    non_retryable_error_types=NEVER_AGAIN,
)
STORE = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    maximum_interval=timedelta(seconds=10),
    maximum_attempts=10,
    non_retryable_error_types=NEVER_AGAIN,
)
PROVIDER = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=30),
    maximum_attempts=8,
    non_retryable_error_types=NEVER_AGAIN,
)
"""Transient trouble backs off; unknown and pending answers set their own next delay from the book (X18)."""

SOON = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), maximum_attempts=2, non_retryable_error_types=NEVER_AGAIN
)
"""For a party that waits for the answer: two attempts end before their patience does."""

LOCAL_LIMIT = timedelta(seconds=2)
"""A local activity that retries is invisible and blocks queries and updates: no longer than this."""
STORE_TIMEOUT = timedelta(seconds=10)
EFFECT_TIMEOUT = timedelta(seconds=15)
"""Longer than the HTTP timeout of 8 s, so that the activity itself reports an unknown answer."""
COMPARE_TIMEOUT = timedelta(hours=1)
"""All books of years, looked at once a day; it heartbeats as effects do."""
HEARTBEAT_TIMEOUT = timedelta(seconds=3)
"""Effects heartbeat every second: a killed worker costs 3 s, not 15."""


@dataclass(frozen=True)
class Declared(Generic[A, R]):
    """What a workflow needs to know to ask for an activity."""

    name: str
    argument: type[A]
    result: type[R]
    summary: Callable[[A], str]
    queue: str
    start_to_close: timedelta
    retry: RetryPolicy
    heartbeat: timedelta | None = None


class Step(Declared[A, R]):
    """Work in our own database only."""


class Effect(Declared[A, R]):
    """Work on the world outside."""


def _step(name: str, argument: type[A], result: type[R], summary: Callable[[A], str]) -> Step[A, R]:
    return Step(name, argument, result, summary, QUEUE, STORE_TIMEOUT, STORE)


def _effect(name: str, queue: str, argument: type[A], result: type[R], summary: Callable[[A], str]) -> Effect[A, R]:
    return Effect(name, argument, result, summary, queue, EFFECT_TIMEOUT, PROVIDER, HEARTBEAT_TIMEOUT)


judge_case = _step("judge_case", c.JudgeCase, c.Judgement, lambda a: "read the facts, judge the request")
record_waybill = _step("record_waybill", c.RecordWaybill, c.Receipt, lambda a: f"parcel {a.waybill.waybill}")
record_pickup = _step("record_pickup", c.RecordPickup, c.Collected, lambda a: "share freight, try the lightning gate")
assess_finding = _step("assess_finding", c.AssessFinding, c.Assessment, lambda a: "who is liable for the finding")
resettle = _step("resettle", c.Resettle, c.Resettled, lambda a: f"settle anew: {a.tag}")
appeal_claim = _step("appeal_claim", c.AppealClaim, c.Appealed, lambda a: f"appeal against the denial of {a.claim_ref}")
refund_undisputed = _step(
    "refund_undisputed", c.RefundUndisputed, c.Undisputed, lambda a: "refund what nobody disputes"
)
settle_case = _step("settle_case", c.SettleCase, c.Remedy, lambda a: f"fix and post the amounts: {a.event}")
grant_refund = _step("grant_refund", c.GrantRefund, c.Granted, lambda a: f"post a refund without return: {a.what}")
end_case = _step("end_case", c.EndCase, c.Receipt, lambda a: f"close as {a.outcome}")
keep_unclaimed = _step(
    "keep_unclaimed", c.KeepUnclaimed, c.Receipt, lambda a: f"{a.amount} waits to be claimed ({a.of})"
)
take_unclaimed = _step("take_unclaimed", c.TakeUnclaimed, c.UnclaimedMoney, lambda a: "which money waits")
leave_unclaimed = _step("leave_unclaimed", c.LeaveUnclaimed, c.Receipt, lambda a: f"{a.key} waits again")
end_correction = _step("end_correction", c.EndCorrection, c.Receipt, lambda a: f"correction {a.n} ends as {a.outcome}")
find_ruling = _step("find_ruling", c.FindRuling, c.Found, lambda a: f"read ruling {a.ruling_id}")
record_evidence = _step(
    "record_evidence", c.RecordEvidence, c.EvidenceKept, lambda a: f"keep {len(a.evidence)} pieces of evidence"
)
open_correction = _step(
    "open_correction", c.OpenCorrection, c.StartCorrection, lambda a: f"open a correction: {a.kind.value}"
)
correct_late = _step(
    "correct_late", c.LateFacts, c.Opened, lambda a: "what the courier told while the case was being closed"
)
end_dispute = _step("end_dispute", c.EndDispute, c.DisputeEnded, lambda a: "what was disputed may be settled")
note_ruling_told = _step(
    "note_ruling_told", c.NoteRulingTold, c.RulingTold, lambda a: f"both sides know of ruling {a.ruling_id}"
)
open_dispute = _step("open_dispute", c.OpenDispute, c.DisputeOpened, lambda a: "compare door and receipt, item by item")
find_approval = _step("find_approval", c.FindApproval, c.Found, lambda a: f"read approval {a.approval_id}")

send_notice = _effect("send_notice", QUEUE, c.SendNotice, c.Noticed, lambda a: f"tell the {a.to.value}: {a.about}")
tell_shortfall = _effect(
    "tell_shortfall", QUEUE, c.TellShortfall, c.Noticed, lambda a: f"tell the merchant: {a.batch} is short"
)
book_pickup = _effect("book_pickup", QUEUE_COURIERS, c.BookPickup, c.Booked, lambda a: f"visit {a.n} by {a.courier}")
leave_pickup = _effect(
    "leave_pickup", QUEUE_COURIERS, c.LeavePickup, c.Left, lambda a: f"take the case off pickup {a.pickup_id}"
)
return_goods = _effect(
    "return_goods", QUEUE_COURIERS, c.ReturnGoods, c.Receipt, lambda a: "send the goods back to the consumer"
)
fetch_events = _effect(
    "fetch_events", QUEUE_COURIERS, c.FetchEvents, c.CourierEvents, lambda a: f"ask about waybill {a.waybill}"
)
send_refund = _effect(
    "send_refund", QUEUE_PAYMENTS, c.SendRefund, c.Receipt, lambda a: f"refund {a.part.amount} ({a.part.payment_key})"
)
pay_consumer = _effect(
    "pay_consumer", QUEUE_PAYMENTS, c.PayConsumer, c.Receipt, lambda a: f"pay {a.amount} to {a.account_ref} ({a.key})"
)
confirm_bounce = _effect(
    "confirm_bounce", QUEUE_PAYMENTS, c.ConfirmBounce, c.Bounced, lambda a: f"did {a.payment_key} come back?"
)
claim_freight = _effect(
    "claim_freight", QUEUE, c.ClaimFreight, c.Receipt, lambda a: f"claim freight {a.claim.amount} from the insurer"
)
claim_indemnity = _effect(
    "claim_indemnity", QUEUE, c.ClaimIndemnity, c.ClaimDecision, lambda a: f"claim {a.plan.amount} from the insurer"
)
pay_advance = _effect(
    "pay_advance", QUEUE_PAYMENTS, c.PayAdvance, c.Receipt, lambda a: f"pay {a.plan.amount} to the merchant"
)
fund_indemnity = _effect(
    "fund_indemnity", QUEUE, c.FundIndemnity, c.Funding, lambda a: f"insurer refunds the advance of {a.plan.amount}"
)
return_money = _effect(
    "return_money",
    QUEUE,
    c.ReturnMoney,
    c.Receipt,
    lambda a: f"{a.back.amount} goes back to the {a.back.to}",
)
close_claim = _effect(
    "close_claim", QUEUE, c.CloseClaim, c.Receipt, lambda a: f"tell the insurer that {a.claim_ref} is over"
)
prove_terminal = _effect(
    "prove_terminal", QUEUE_PAYMENTS, c.ProveTerminal, c.Proof, lambda a: f"ask the provider's books for {a.key}"
)
demand_recovery = _effect(
    "demand_recovery", QUEUE_COURIERS, c.DemandRecovery, c.Receipt, lambda a: f"demand {a.plan.amount} from the carrier"
)
check_demand = _effect(
    "check_demand",
    QUEUE_COURIERS,
    c.CheckDemand,
    c.DemandState,
    lambda a: f"has the carrier answered {a.plan.claim_ref}?",
)
set_off_demand = _effect(
    "set_off_demand",
    QUEUE_COURIERS,
    c.SetOffDemand,
    c.SetOff,
    lambda a: f"set off {a.plan.claim_ref} against what we owe the carrier",
)
review_receivable = _step(
    "review_receivable", c.ReviewReceivable, c.Receivable, lambda a: f"what is owed for {a.plan.claim_ref}"
)
charge_receivable = _effect(
    "charge_receivable",
    QUEUE_PAYMENTS,
    c.ChargeReceivable,
    c.Charged,
    lambda a: f"collect {a.plan.claim_ref} from the consumer",
)
follow_ruling = _step(
    "follow_ruling", c.FollowRuling, c.RulingFollowed, lambda a: f"the recovery goes by ruling {a.ruling_id}"
)
end_recovery = _step(
    "end_recovery", c.EndRecovery, c.RecoveryOutcome, lambda a: f"close the recovery of {a.plan.claim_ref}"
)
remit_recovery = _effect(
    "remit_recovery", QUEUE, c.RemitRecovery, c.Receipt, lambda a: f"remit {a.amount} to the insurer"
)

open_cut = _step("open_cut", c.OpenCut, c.Cut, lambda a: f"cut {a.cut}")
page_merchants = _step(
    "page_merchants", c.PageMerchants, c.MerchantPage, lambda a: f"merchants after {a.after or 'none'}"
)
form_batch = _step("form_batch", c.FormBatch, c.Batches, lambda a: f"net the open legs of {a.merchant_id}")
note_told = _step("note_told", c.NoteTold, c.ShortfallState, lambda a: f"the merchant knows of {a.batch}")
write_off = _step("write_off", c.WriteOff, c.ShortfallState, lambda a: f"write off the shortfall {a.batch}")
earn_premiums = _step("earn_premiums", c.EarnPremiums, c.Earned, lambda a: f"premiums of covers that ended by {a.cut}")
prove_batch = _effect(
    "prove_batch", QUEUE_PAYMENTS, c.ProveBatch, c.Proof, lambda a: f"ask the provider's books for {a.key}"
)
pay_batch = _effect(
    "pay_batch", QUEUE_PAYMENTS, c.PayBatch, c.Receipt, lambda a: f"pay {a.batch.net} to {a.batch.merchant_id}"
)

open_reconciliation = _step(
    "open_reconciliation", c.OpenReconciliation, c.Reconciling, lambda a: f"reconcile at {a.cut}"
)
fetch_statement = _effect(
    "fetch_statement", QUEUE, c.FetchStatement, c.Fetched, lambda a: f"what is new on the statement of {a.provider}"
)
compare_books: Effect[c.CompareBooks, c.BooksCompared] = Effect(
    "compare_books",
    c.CompareBooks,
    c.BooksCompared,
    lambda a: "statements against the journal, and the 17 invariants",
    QUEUE,
    COMPARE_TIMEOUT,
    STORE,
    HEARTBEAT_TIMEOUT,
)
explain_finding = _step(
    "explain_finding", c.ExplainFinding, c.BooksCompared, lambda a: f"finding {a.said.finding_id} is explained"
)

DECLARED: tuple[Declared[Any, Any], ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Declared)
)
"""All of them, for the worker's registry and the tests."""
