"""The state of a case: parallel regions, their transitions, and what may be done when (domain 3).

Pure. A region that is not begun is `none`. An illegal transition is a bug of the orchestration and raises
`IllegalTransition`, which fails the workflow task and not the case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from backhaul.attention import SIGNS
from backhaul.messages import ActionView
from backhaul.names import ROLE_OF, Update


class Region(StrEnum):
    """The eight parallel regions."""

    AUTHORIZATION = "authorization"
    LOGISTICS = "logistics"
    INSPECTION = "inspection"
    REFUND = "refund"
    INDEMNITY = "indemnity"
    RECOVERY = "recovery"
    DISPUTE = "dispute"
    SETTLEMENT = "settlement"


class Stage(StrEnum):
    """The one word shown to people and in search attributes."""

    AUTHORIZING = "authorizing"
    RETAINING = "retaining"
    PICKUP = "pickup"
    TRANSIT = "transit"
    RECEIPT = "receipt"
    DISPUTE = "dispute"
    REFUNDING = "refunding"
    CLOSING = "closing"
    CLOSED = "closed"


INITIAL: dict[Region, str] = {
    Region.AUTHORIZATION: "requested",
    Region.LOGISTICS: "unbooked",
    Region.INSPECTION: "doorstep_pending",
    Region.REFUND: "not_due",
    Region.INDEMNITY: "none",
    Region.RECOVERY: "none",
    Region.DISPUTE: "none",
    Region.SETTLEMENT: "none",
}

_TABLE: dict[Region, dict[str, str]] = {
    Region.AUTHORIZATION: {
        "requested": "info_requested authorized declined withdrawn expired retained",
        "info_requested": "requested expired withdrawn",
        "authorized": "withdrawn expired retained",
        "declined": "authorized",
    },
    Region.LOGISTICS: {
        "unbooked": "booked not_required",
        "booked": "attempting picked_up in_transit delivered missed no_show courier_rejected unbooked not_required",
        "attempting": "picked_up missed no_show courier_rejected",
        "missed": "booked unbooked not_required picked_up",
        "no_show": "booked unbooked not_required picked_up",
        "courier_rejected": "booked unbooked not_required picked_up",
        "picked_up": "in_transit delivered lost returned_to_consumer receipt_confirmed",
        "in_transit": "delivered lost returned_to_consumer receipt_confirmed",
        "delivered": "receipt_confirmed lost",
        "lost": "in_transit delivered",
    },
    Region.INSPECTION: {
        "doorstep_pending": "doorstep_pass doorstep_flag waived receipt_pending",
        "doorstep_pass": "receipt_pending",
        "doorstep_flag": "receipt_pending doorstep_pending",
        "waived": "receipt_pending",
        "receipt_pending": "receipt_pass receipt_fail",
    },
    Region.REFUND: {
        "not_due": "held due",
        "held": "submitted not_due",
        "due": "submitted",
        "submitted": "succeeded abnormal alternate unclaimed",
        "abnormal": "alternate submitted succeeded unclaimed",
        "alternate": "abnormal submitted succeeded unclaimed",
        "succeeded": "clawback_open due abnormal unclaimed",
        "unclaimed": "due abnormal alternate",
        "clawback_open": "recovered written_off",
    },
    Region.INDEMNITY: {
        "none": "notified",
        "notified": "verified denied",
        "verified": "reserved denied",
        "reserved": "approved pending_authority denied",
        "pending_authority": "approved denied",
        "approved": "paying",
        "paying": "paid approved",
        "paid": "reopened notified",
        "denied": "reopened notified",
        "reopened": "reserved denied",
    },
    Region.RECOVERY: {"none": "identified", "identified": "handed_over"},
    Region.DISPUTE: {
        "none": "open",
        "open": "evidence ruled",
        "evidence": "ruled",
        "ruled": "appealed final",
        "appealed": "re_ruled",
        "re_ruled": "final",
        "final": "open appealed",
    },
    Region.SETTLEMENT: {"none": "posted", "posted": ""},
}
TRANSITIONS: dict[Region, dict[str, frozenset[str]]] = {
    region: {state: frozenset(targets.split()) for state, targets in table.items()} for region, table in _TABLE.items()
}
"""Which state may follow which, per region (domain 3). A state without a row is an end."""

ACCEPTED_AT_CLOSE: dict[Region, frozenset[str]] = {
    Region.AUTHORIZATION: frozenset({"authorized", "declined", "withdrawn", "expired", "retained"}),
    Region.LOGISTICS: frozenset({"receipt_confirmed", "lost", "returned_to_consumer", "not_required"}),
    Region.INSPECTION: frozenset({"receipt_pass", "receipt_fail", "waived"}),
    Region.REFUND: frozenset({"not_due", "succeeded", "unclaimed", "recovered", "written_off"}),
    Region.INDEMNITY: frozenset({"none", "paid", "denied"}),
    Region.RECOVERY: frozenset({"none", "handed_over"}),
    Region.DISPUTE: frozenset({"none", "final"}),
    Region.SETTLEMENT: frozenset({"none", "posted"}),
}
"""States in which a closed case may be. Lost or never collected goods need no receipt inspection."""

TRAVELLING = frozenset({"picked_up", "in_transit"})
"""The goods are on their way, by what the courier told."""
_NOT_SCANNED = frozenset({"unbooked", "booked", "attempting", "missed", "no_show", "courier_rejected"})


class IllegalTransition(RuntimeError):
    """A region was asked to go where it cannot: a bug in the orchestration."""


class Regions:
    """The present state of all regions of one case. Mutable, owned by one workflow."""

    def __init__(self, now: Mapping[str, str] | None = None) -> None:
        """`now`: how a closed case ended, where a correction goes on from there."""
        self._now = {region: (now or {}).get(region.value, state) for region, state in INITIAL.items()}

    def __getitem__(self, region: Region) -> str:
        return self._now[region]

    def may(self, region: Region, state: str) -> bool:
        """May the region go there now, or is it there already?"""
        now = self._now[region]
        return now == state or state in TRANSITIONS[region].get(now, frozenset())

    def to(self, region: Region, state: str) -> None:
        """Move one region. Being there already is nothing; anything off the table is a bug."""
        now = self._now[region]
        if now == state:
            return
        if state not in TRANSITIONS[region].get(now, frozenset()):
            raise IllegalTransition(f"{region}: {now} -> {state}")
        self._now[region] = state

    @property
    def scanned(self) -> bool:
        """Has the courier (or the parcel service) the goods, or had them?"""
        return self._now[Region.LOGISTICS] not in _NOT_SCANNED | {"not_required"}

    def open_at_close(self) -> tuple[str, ...]:
        """Regions that forbid closing, as `region=state` (invariant 15)."""
        travelled = self._now[Region.LOGISTICS] not in {"lost", "not_required", "returned_to_consumer"}
        return tuple(
            f"{region}={state}"
            for region, state in self._now.items()
            if state not in ACCEPTED_AT_CLOSE[region] and (region is not Region.INSPECTION or travelled)
        )

    def plain(self) -> dict[str, str]:
        """All regions by name, for views and results."""
        return {region.value: state for region, state in self._now.items()}


def stage_of(regions: Regions, closed: bool, *, retaining: bool = False) -> Stage:
    """The one derived stage (domain 3)."""
    if closed:
        return Stage.CLOSED
    if regions[Region.DISPUTE] in {"open", "evidence", "appealed"}:
        return Stage.DISPUTE
    if regions[Region.AUTHORIZATION] in {"requested", "info_requested"}:
        return Stage.AUTHORIZING
    if regions[Region.AUTHORIZATION] in {"declined", "withdrawn", "expired"}:
        return Stage.CLOSING
    logistics = regions[Region.LOGISTICS]
    if logistics in _NOT_SCANNED:
        return Stage.RETAINING if retaining else Stage.PICKUP
    if logistics in TRAVELLING:
        return Stage.TRANSIT
    if logistics == "delivered":
        return Stage.RECEIPT
    if regions[Region.REFUND] in {"due", "submitted", "abnormal", "alternate"}:
        return Stage.REFUNDING
    return Stage.CLOSING


@dataclass(frozen=True)
class Situation:
    """What decides whether an update is possible now."""

    regions: Regions
    closed: bool = False
    waiting_for: str | None = None
    account_wanted: bool = False
    parked: frozenset[str] = frozenset()
    parked_effect: bool = False
    self_ship: bool = False
    waybill_known: bool = False
    may_decline: bool = True
    withdrawing: bool = False
    money_under_way: bool = False
    has_deadline: bool = False
    info_requested: bool = False
    """The merchant asked for information before: once is all."""
    ruling_wanted: bool = False


_ALWAYS = frozenset({Update.REPORT_PAYMENT, Update.REPORT_PICKUP, Update.REPORT_TRACKING, Update.SUBMIT_EVIDENCE})
_OPERATOR = frozenset({Update.RETRY_STEP, Update.SKIP_STEP, Update.APPLY_RULING, Update.APPLY_APPROVAL})


def refusal(update: Update, now: Situation) -> str | None:
    """The code with which this update is refused now, or None. Courier facts are never refused before the close."""
    if now.closed:  # what is handed to a correction then may be parked
        return None if update is Update.RETRY_STEP and now.parked_effect else "return_closed"
    if update in _ALWAYS or update is Update.APPEAL:
        return None
    if update is Update.EXTEND_DEADLINE:
        return None if now.has_deadline else "not_waiting"
    if update is Update.CLOSE_CASE:
        return _close_refusal(now)
    if update in _OPERATOR:
        return _operator_refusal(update, now)
    return _party_refusal(update, now)


def _close_refusal(now: Situation) -> str | None:
    """Goods that a courier has had are somebody's loss or refund: such a case ends by its story, or by a ruling."""
    if not now.parked - SIGNS:
        return "not_parked"
    if now.regions.scanned:
        return "already_picked_up"
    return "money_under_way" if now.money_under_way else None


def _operator_refusal(update: Update, now: Situation) -> str | None:
    if update is Update.APPLY_RULING:
        return None if now.ruling_wanted else "not_waiting"
    if not now.parked:
        return "not_parked"
    if update is Update.APPLY_APPROVAL:
        return None if "approval_required" in now.parked else "not_waiting"
    return None if now.parked_effect else "not_waiting"


def _party_refusal(update: Update, now: Situation) -> str | None:
    regions, waiting = now.regions, now.waiting_for
    match update:
        case Update.WITHDRAW:
            if regions.scanned:
                return "already_picked_up"
            over = regions[Region.AUTHORIZATION] not in {"requested", "info_requested", "authorized"}
            over = over or regions[Region.LOGISTICS] == "not_required"
            return "already_decided" if over or now.withdrawing else None
        case Update.ANSWER_FINDING:
            return None if waiting == "finding_answer" else "no_finding"
        case Update.PROVIDE_WAYBILL:
            if not now.self_ship:
                return "not_self_ship"
            return "already_decided" if now.waybill_known else (None if waiting == "waybill" else "not_waiting")
        case Update.PROVIDE_ACCOUNT:
            return None if now.account_wanted else "not_waiting"
        case Update.ESCALATE:
            return None if waiting == "escalation" else "not_declined"
        case Update.ANSWER_INFO:
            return None if waiting == "info_answer" else "not_waiting"
        case Update.AUTHORIZE | Update.DECLINE | Update.REQUEST_INFO:
            if waiting != "merchant_review":
                undecided = regions[Region.AUTHORIZATION] in {"requested", "info_requested"}
                return "not_waiting" if undecided else "already_decided"
            if update is Update.REQUEST_INFO:
                return "already_asked" if now.info_requested else None
            return "statutory_return" if update is Update.DECLINE and not now.may_decline else None
        case Update.CONFIRM_RECEIPT | Update.REPORT_RECEIPT_ISSUE:
            return _receipt_refusal(now)
        case Update.ANSWER_OFFER:
            return None if waiting == "offer" else "no_offer"
        case _:
            return "not_waiting"


def _receipt_refusal(now: Situation) -> str | None:
    """A merchant who speaks of goods on their way is heard too: the courier's news may be lost."""
    logistics = now.regions[Region.LOGISTICS]
    if now.regions[Region.INSPECTION] in {"receipt_pass", "receipt_fail"} or logistics in {"receipt_confirmed", "lost"}:
        return "already_decided"
    if logistics == "delivered":
        return None if now.waiting_for == "receipt" else "already_decided"
    return None if logistics in TRAVELLING else "not_delivered"


def allowed_actions(now: Situation, reasons: dict[str, str]) -> tuple[ActionView, ...]:
    """Every update a party or operator could send, possible now or with the code and the reason why not.

    `reasons` gives the text of each code (backhaul.errors.CODES)."""
    views = []
    for update, role in ROLE_OF.items():
        code = refusal(update, now)
        views.append(
            ActionView(
                update=update.value,
                role=role.value,
                allowed=code is None,
                code=code,
                why=None if code is None else reasons[code],
            )
        )
    return tuple(views)
