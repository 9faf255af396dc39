"""One running case, or a correction of one: its regions, what the parties said, its money as the story knows it.

How it waits, asks and parks is the desk's (workflows/desk.py).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from temporalio import workflow

from activities.contract import Booked, Found, Judgement, Patience, StartDispute
from backhaul.case import Region, Regions, Situation, Stage, stage_of
from backhaul.corrections import CorrectionEvent
from backhaul.disputes import LodgeAppeal, Phase
from backhaul.facts import LineFinding, Method, Party, Verdict
from backhaul.ids import CaseId
from backhaul.ledger import CaseRef
from backhaul.messages import (
    AnswerFinding,
    AnswerInfo,
    AnswerOffer,
    Authorize,
    ConfirmReceipt,
    Decline,
    Escalate,
    EventView,
    OpenReturn,
    PickupOutcome,
    PickupReport,
    ProvideAccount,
    ProvideWaybill,
    ReportReceiptIssue,
    RequestInfo,
    TrackingReport,
    TrackingStatus,
    Withdraw,
)
from backhaul.money import Money
from backhaul.names import Update
from backhaul.policy.parcels import found_event, turned_up
from backhaul.policy.terms import Terms
from workflows import details
from workflows.claim import Claim
from workflows.desk import Desk, reject

MAX_SAID = 100
"""So often one party may send what it could send without end: evidence, a waybill or an account that does not do, a
word on goods that are not there. What a party decides once is never counted. A workflow's history stays bounded so,
instead of continuing as new (architecture 3.7): Temporal takes 2,000 updates a run."""
MAX_MOVEMENTS, MAX_FACTS = 500, 1_000
"""So many reports of courier and payment provider a case takes; from the first number on none that says only that the
parcel moves. What is refused stays in the inbox, and polls bring what counts of it."""
FULL = "too_many_messages"
"""With this a full door refuses, and why it shows itself to operators."""
MAX_EVENTS = 100
ACCOUNT = "account"
"""What a case waits for while a refund needs another account (X19)."""


@dataclass
class Mailbox:
    """What the parties have said and the story has not yet read."""

    pickups: list[PickupReport] = field(default_factory=list)
    trackings: list[TrackingReport] = field(default_factory=list)
    withdraw: Withdraw | None = None
    withdraw_at: datetime | None = None
    authorize: Authorize | None = None
    decline: Decline | None = None
    escalate: Escalate | None = None
    question: RequestInfo | None = None
    information: AnswerInfo | None = None
    offer: AnswerOffer | None = None
    finding: AnswerFinding | None = None
    waybill: ProvideWaybill | None = None
    confirm: ConfirmReceipt | None = None
    issue: ReportReceiptIssue | None = None
    ruling: Found | None = None
    approval: Found | None = None
    account: ProvideAccount | None = None
    heard_at: datetime | None = None
    """When the merchant said what they received."""
    settled: set[str] = field(default_factory=set)
    """Payment keys that the provider says it has decided on."""

    def hear(self, said: ConfirmReceipt | ReportReceiptIssue | None, at: datetime | None) -> None:
        """The merchant says what they received, and since when that counts; None: they have said nothing."""
        self.confirm = said if isinstance(said, ConfirmReceipt) else None
        self.issue = said if isinstance(said, ReportReceiptIssue) else None
        self.heard_at = at

    def forget_decisions(self) -> None:
        """Before a human is asked: a ruling or approval of an earlier question does not answer this one."""
        self.ruling = self.approval = None


@dataclass
class Hearing:
    """A dispute that this workflow waits for, and how far it is."""

    start: StartDispute
    workflow_id: str
    child: Any
    """The child's handle: awaited for its result, signalled with what came in at our doors."""
    on: Party
    due: datetime
    phase: Phase = Phase.EVIDENCE
    told: datetime | None = None
    """When it was known that both sides were told: until then `due` is a guess."""
    ruled: bool = False
    """A ruling was handed on: no other is taken."""

    @property
    def shown(self) -> tuple[object, ...]:
        """What people see of it: a change is shown at once."""
        return self.phase, self.on, self.due, self.told

    @property
    def wants_ruling(self) -> bool:
        """Both sides were heard and nobody has ruled."""
        return self.phase is Phase.RULING and not self.ruled


@dataclass
class Sums:
    """The case's money as the story knows it; the ledger is the truth."""

    refunded: int = 0
    under_way: int = 0
    withheld: int = 0
    indemnified: int = 0
    freight: int = 0


class Judged(Protocol):
    """What stages need to know of the case they work for."""

    @property
    def case(self) -> CaseRef: ...

    @property
    def terms(self) -> Terms: ...


def need_money_in(currency: str | None, amount: Money) -> None:
    """Refuse with `invalid_input` an amount of a party that is negative or in another currency; None: in any."""
    if amount.currency != currency or amount.minor < 0:
        reject("invalid_input", f"{amount} is negative or not in the order's currency")


def need_findings_on(lines: Iterable[str], currency: str | None, findings: Iterable[LineFinding]) -> None:
    """Refuse what a merchant finds on lines that are not returned (`line_unknown`), or with another money's salvage."""
    found, ours = tuple(findings), frozenset(lines)
    if any(item.line_id not in ours for item in found):
        reject("line_unknown")
    for item in found:
        if item.salvage is not None:
            need_money_in(currency, item.salvage)


class CaseDesk(Desk):
    """What a running case and a correction of a closed one have in common: stages that take it serve both."""

    within: str = ""
    """Tells the notices of a correction apart from the case's: `correction.1`."""

    def __init__(self, case: CaseId) -> None:
        super().__init__()
        self.id = case
        self.merchant_id = case.merchant_id
        self.regions = Regions()
        self.mail = Mailbox()
        self.sums = Sums()
        self.events: list[EventView] = []
        self.verdicts: list[Verdict] = []
        self.disputes = 0
        """How many were opened, so that each has a number of its own."""
        self.hearing: Hearing | None = None
        self.ruled: Found | None = None
        self.told_rulings: dict[str, datetime] = {}
        """When both sides had been told of a ruling that they may appeal against, by its id (X15)."""
        self.appeal: LodgeAppeal | None = None
        self.claims: list[Claim] = []
        self.paid_refunds: set[str] = set()
        """Keys of refunds that succeeded, and have not come back."""
        self.refund_states: dict[str, str] = {}
        """Refunds that go another way, by their keys: abnormal or alternate."""
        self.asking_account: asyncio.Task[str | None] | None = None
        self.recovery: str | None = None
        self.taken: Counter[tuple[Update, Party]] = Counter()
        """How often a party sent what it could send without end."""
        self.facts = 0
        """How many reports of courier and payment provider came in by update."""
        self.seen: set[str] = set()
        self.waybill: str | None = None
        self.courier: str | None = None
        self.moved_at: datetime | None = None

    def need_room(self, update: Update, by: Party) -> None:
        """Refuse with `too_many_messages` what a party has sent as often as it may."""
        if self.taken[update, by] >= MAX_SAID:
            reject(FULL)

    def count(self, update: Update, by: Party) -> None:
        """A party sent what it could send without end. The last that is taken shows that its door is full."""
        self.taken[update, by] += 1
        if self.taken[update, by] == MAX_SAID:
            self._full(f"the {by.value} sent {update.value} {MAX_SAID} times: no more of it is taken", update.value)

    def need_room_for_report(self, *, moves_only: bool) -> None:
        """The same for reports of courier and payment provider."""
        if self.facts >= (MAX_MOVEMENTS if moves_only else MAX_FACTS):
            reject(FULL)

    def count_report(self) -> None:
        """The same for reports of courier and payment provider."""
        self.facts += 1
        if self.facts == MAX_MOVEMENTS:
            self._full(f"{MAX_MOVEMENTS} reports came: none is taken that says only that the parcel moves", "movements")
        elif self.facts == MAX_FACTS:
            self._full(f"{MAX_FACTS} reports came: no more is taken of courier and payment provider", "reports")

    def _full(self, headline: str, door: str) -> None:
        self.tell(headline, Party.PLATFORM)
        self.sign(FULL, headline, door)

    @property
    def judged(self) -> Judged:
        """The case and its terms: timers and thresholds of the book at the request."""
        raise NotImplementedError

    @property
    def patience(self) -> Patience:
        """When to look again while a provider's answer is open (X18), from the case's own book."""
        return Patience(delays_s=self.judged.terms.lookup_delays_s)

    @property
    def money_under_way(self) -> bool:
        """Is any money of this case between two places?"""
        refund = self.regions[Region.REFUND] in {"held", "due", "submitted", "abnormal", "alternate"}
        indemnity = self.regions[Region.INDEMNITY] not in {"none", "paid", "denied"}
        return refund or indemnity or self.effects_under_way

    def money(self, minor: int) -> Money:
        """An amount in the case's currency."""
        return Money(minor=minor, currency=self.judged.terms.currency)

    def tell(self, what: str, by: Party) -> None:
        """Keep one event for people: views show the last ones."""
        self.events.append(EventView(at=workflow.now(), what=what, by=by))
        del self.events[:-MAX_EVENTS]

    # ---- what the courier tells ------------------------------------------------------------------------------

    def first_time(self, event_id: str) -> bool:
        """Keep an event's id. False: it was known already."""
        known = event_id in self.seen
        self.seen.add(event_id)
        return not known

    def receive_pickup(self, report: PickupReport) -> bool:
        """Keep a courier's visit once, whichever way it came. False: known already."""
        if not self.first_time(report.event_id):
            return False
        self.mail.pickups.append(report)
        return True

    def receive_tracking(self, report: TrackingReport) -> bool:
        """Keep one movement once; it also moves the clock that looks for lost parcels. False: known already."""
        if not self.first_time(report.event_id):
            return False
        self.mail.trackings.append(report)
        self.moved_at = max(report.occurred_at, self.moved_at or report.occurred_at)
        if report.status is TrackingStatus.IN_TRANSIT and self.regions[Region.LOGISTICS] == "picked_up":
            self.regions.to(Region.LOGISTICS, "in_transit")
        return True


class CaseRun(CaseDesk):
    """One running case: its state, and how it waits, asks and parks."""

    def __init__(self, request: OpenReturn) -> None:
        super().__init__(CaseId(request.merchant_id, request.rma_id))
        self.request = request
        self.order_id = request.order_id
        self.judgement: Judgement | None = None
        self.ready = False
        self.pickup_id: str | None = None
        self.bookings: dict[str, Booked] = {}
        """Every visit that was booked, by waybill: a scan may come late."""
        self.standing: Booked | None = None
        """The visit that a courier will still make."""
        self.of_others: set[str] = set()
        """Waybills of visits that took goods of other cases, and left this one's at the door."""
        self.closed = self.closing = False
        self.outcome: str | None = None
        self.credit_open = False
        self.undisputed = False
        """A part of the refund left before the ruling, since nobody disputed it."""
        self.offer: Money | None = None
        """What is offered for keeping the goods, while it is open."""
        self.asking = False
        """Does a question of the merchant wait for the consumer?"""
        self.self_ship = request.method is Method.SELF_SHIP
        self.taking_waybill = False
        """Is a waybill of the consumer's being recorded? It was given in time, whenever that ends."""
        self.scan_known: datetime | None = None
        self.travels_on = False
        """The consumer withdrew, and the goods that the courier has cannot be brought back."""
        self.closed_by: str | None = None
        self.re_ruling: asyncio.Task[None] | None = None
        self.re_ruled: str | None = None
        self.settled = False
        self.given_up: int | None = None
        """So many movements were known when the parcel counted as lost."""

    # ---- how it looks ----------------------------------------------------------------------------------------

    def stage_name(self) -> str:
        return self.stage.value

    def describe(self) -> str:
        return details.render(self)

    def begin(self, judgement: Judgement) -> None:
        """From here on the case is known, and nothing fails it any more: what goes wrong parks it."""
        self.judgement = judgement
        self.amount, self.park_s, self.ready = judgement.refundable.minor, judgement.terms.park_s, True
        self.verdicts += judgement.verdicts

    # ---- what is known -------------------------------------------------------------------------------------

    @property
    def judged(self) -> Judgement:
        """The first judgement; stages after it may rely on it."""
        if self.judgement is None:
            raise RuntimeError("the case is not judged yet")
        return self.judgement

    @property
    def stage(self) -> Stage:
        """The derived stage."""
        return stage_of(self.regions, self.closed, retaining=self.offer is not None)

    @property
    def money_under_way(self) -> bool:
        """Is any money of this case between two places, or reserved?"""
        return super().money_under_way or self.credit_open

    def situation(self) -> Situation:
        """What decides which updates are possible now (backhaul.case.refusal)."""
        return Situation(
            regions=self.regions,
            closed=self.closed,
            waiting_for=self.wait_now.code if self.wait_now else None,
            account_wanted=self.waits_for(ACCOUNT),
            parked=frozenset(parked.reason for parked in self.parked),
            parked_effect=any(p.effect for p in self.parked),
            self_ship=self.self_ship,
            waybill_known=self.mail.waybill is not None,
            may_decline=self.judgement.may_decline if self.judgement else True,
            withdrawing=self.mail.withdraw is not None or self.scan_known is not None,
            money_under_way=self.money_under_way,
            info_requested=self.mail.question is not None,
            has_deadline=self.shown_wait is not None or bool(self.parked),
            ruling_wanted=self.hearing is not None and self.hearing.wants_ruling,
        )

    @property
    def turned_up(self) -> TrackingReport | None:
        """The first sign that what the case was settled on as lost is there."""
        if self.given_up is None or self.regions[Region.LOGISTICS] != "lost":
            return None
        return turned_up(item for item in self.mail.trackings[self.given_up :] if item.waybill == self.waybill)

    @property
    def found(self) -> CorrectionEvent | None:
        """What the close finds to be there that was settled as lost: a correction follows it."""
        return None if self.turned_up is None else found_event(self.id, self.turned_up)

    def money(self, minor: int) -> Money:
        """An amount in the order's currency."""
        return Money(minor=minor, currency=self.judged.refundable.currency)

    def receive_pickup(self, report: PickupReport) -> bool:
        """Keep a courier's visit once, and note whose goods are in its parcel. False: known already."""
        if not super().receive_pickup(report):
            return False
        if report.outcome is PickupOutcome.PICKED_UP and not self.regions.scanned:
            self._note_whose(report)
        return True

    def _note_whose(self, scan: PickupReport) -> None:
        """A parcel with nothing of this case in it does not count for it; what it did is forgotten, until a scan of the
        same waybill says otherwise and the courier's log is read."""
        if {line.line_id for line in self.request.lines} & set(scan.collected):
            self.of_others.discard(scan.waybill)
            return
        self.of_others.add(scan.waybill)
        theirs = [one for one in self.mail.trackings if one.waybill == scan.waybill]
        self.seen -= {one.event_id for one in theirs}
        self.mail.trackings = [one for one in self.mail.trackings if one not in theirs]

    def receive_tracking(self, report: TrackingReport) -> bool:
        """Keep one movement once. False: known already, or of a parcel in which there is nothing of this case."""
        return report.waybill not in self.of_others and super().receive_tracking(report)
