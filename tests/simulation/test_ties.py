"""An answer in the same workflow task as the timer that waits for it: an answer in time is an answer. Domain 5.

No server can be made to hand over both at once; the simulated one can. Each tie brings a case into its wait, looks
that the deadline is the book's, that nothing happened a second before it, and then what happens with the answer and
without: at once, and in the books at the end. Each is told twice: the way in which the SDK takes a task's jobs now, and
all of them at once, as it will (its logic flag 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest

from backhaul.disputes import LodgeAppeal
from backhaul.facts import Method, Party, Reason, RemedyKind
from backhaul.ids import dispute_id, payment_key
from backhaul.messages import (
    AnswerFinding,
    AnswerInfo,
    AnswerOffer,
    ApplyRuling,
    Authorize,
    ConfirmReceipt,
    Decline,
    Escalate,
    ExtendDeadline,
    FindingAnswer,
    OfferAnswer,
    PaymentNews,
    PaymentReport,
    ProvideAccount,
    ProvideWaybill,
    RequestInfo,
    SubmitEvidence,
    Withdraw,
)
from backhaul.recoveries import RecoveryStatus
from backhaul.slots import next_slot
from tests.simulation.server import Run
from tests.simulation.tied import SECOND, Awaited, Tied, jobs
from tests.simulation.world import START, Plan, Simulation, library, simulation
from tests.workflows.world import COAT, at_receipt, objection

pytestmark = pytest.mark.divided(4)
HOUR = 3_600_000
"""In milliseconds, as the courier's scripts count."""
ALL_AT_ONCE = 2
"""The SDK's logic flag: all jobs of a task before any code runs."""
LOSS = 36_000
"""30 % of the coat."""

FREIGHT = {"J10": 1_200, "J11": 1_200, "J12": 1_200}
"""One kilogram at 12.00, paid by the insurer to the courier."""
REFUND = {"J23": COAT, "J21": COAT}


def indemnity(minor: int) -> dict[str, int]:
    """Reserved, approved, advanced to the merchant, funded by the insurer."""
    return {"J30": minor, "J31": minor, "J34": minor, "J32": minor}


def from_carrier(minor: int) -> dict[str, int]:
    """Accepted, paid in cash, remitted."""
    return {"J40": minor, "J44": minor, "J42": minor}


TAKEN: dict[str, Any] = {"outcome": "picked_up", "after_ms": HOUR}
KEPT_BACK = {**TAKEN, "hold": True}
NO_SHOW = {"outcome": "no_show", "after_ms": HOUR}
WAY = [{"status": "in_transit", "after_ms": HOUR}, {"status": "delivered", "after_ms": 10 * HOUR}]
SLOW_WAY = [{"status": "in_transit", "after_ms": 30 * HOUR}, {"status": "delivered", "after_ms": 10 * HOUR}]
PAID = {"answer": "accept", "after_ms": 0, "pay_after_ms": 0}


def courier(*visits: dict[str, Any], way: Sequence[dict[str, Any]] = WAY) -> dict[str, Any]:
    """What the courier does: its visits, the parcel's way; demands it accepts and pays."""
    return {"visits": visits, "tracking": way, "demand": PAID}


def found(severity: int, says: str) -> dict[str, Any]:
    """A visit that finds damage, and what the consumer says to it."""
    return {**TAKEN, "inspection": {"L1": {"finding": "damage", "severity": severity, "consumer": says}}}


PLAIN = Plan(tier=0)
REVIEWED = Plan(auto=False, reason=Reason.QUALITY, tier=0)
OFFERED = Plan(offers=True, tier=0)
MONEY = Plan(remedy=RemedyKind.REFUND_ONLY)

Look = Callable[[Tied], None]


def said(what: str) -> Look:
    """This was said for people."""

    def look(tied: Tied) -> None:
        assert any(what in one for one in tied.told), tied.told

    return look


def is_in(region: str, state: str) -> Look:
    """A region is there."""

    def look(tied: Tied) -> None:
        assert tied.region[region] == state, tied.region

    return look


def ended(outcome: str) -> Look:
    """The case is over."""

    def look(tied: Tied) -> None:
        assert tied.run.closed and tied.sim.outcome(tied.case).outcome == outcome

    return look


class Tie(NamedTuple):
    """One wait, the field of the book that holds its time, the answer, and what follows."""

    path: str
    field: str
    begin: Callable[[Tied], Awaited]
    """Bring the case into the wait."""
    answer: Callable[[Tied], tuple[str, Any]]
    answered: Look
    silent: Look
    books: Mapping[str, int]
    """All that the case posted in the end, with the answer."""
    books_silent: Mapping[str, int]
    plan: Plan = PLAIN
    script: Mapping[str, Any] = courier(TAKEN)
    rules: str = "merchant"
    where: Callable[[Tied], str] = lambda tied: tied.case
    """The workflow that has the timer."""


def waits(code: str) -> Callable[[Tied], Awaited]:
    """Time alone leads there."""
    return lambda tied: tied.waits(code)


def says(update: str, body: Any) -> Callable[[Tied], tuple[str, Any]]:
    """Always the same answer."""
    return lambda tied: (update, body)


def first_dispute(tied: Tied) -> str:
    return dispute_id(tied.id, 1)


# ---- the request -------------------------------------------------------------------------------------------------


def asked_for_photos(tied: Tied) -> Awaited:
    tied.waits("merchant_review")
    tied.say("request_info", RequestInfo(question="photos"))
    return tied.waits("info_answer")


def declined(tied: Tied) -> Awaited:
    tied.waits("merchant_review")
    tied.say("decline", Decline(reason="worn"))
    return tied.waits("escalation")


REQUESTS = (
    Tie(
        "X1",
        "timers.merchant_silence",
        waits("merchant_review"),
        says("decline", Decline(reason="worn")),
        is_in("authorization", "declined"),
        said("authorized by silence"),
        {},
        REFUND | FREIGHT,
        plan=REVIEWED,
    ),
    Tie(
        "X2",
        "timers.info_answer",
        asked_for_photos,
        says("answer_info", AnswerInfo(note="as it came")),
        is_in("authorization", "requested"),
        ended("expired"),
        REFUND | FREIGHT,
        {},
        plan=REVIEWED,
    ),
    Tie(
        "X13",
        "timers.escalation",
        declined,
        says("escalate", Escalate(reason="unfair")),
        is_in("dispute", "evidence"),
        ended("declined"),
        REFUND | FREIGHT,
        {},
        plan=REVIEWED,
        rules="authorize",
    ),
    Tie(
        "X29",
        "timers.refund_only_decision",
        waits("merchant_review"),
        says("decline", Decline(reason="worn")),
        ended("declined"),
        ended("refunded"),
        {},
        REFUND,
        plan=MONEY,
    ),
    Tie(
        "X30",
        "timers.offer_answer",
        waits("offer"),
        says("answer_offer", AnswerOffer(answer=OfferAnswer.ACCEPT)),
        ended("retained"),
        said("the return goes on without the offer"),
        {"J82": 1_440, "J21": 1_440},
        REFUND | FREIGHT,
        plan=OFFERED,
    ),
)

# ---- the door ----------------------------------------------------------------------------------------------------


def slot_over(tied: Tied) -> Awaited:
    """The courier's first report of this wait is due after its slot."""
    found = tied.waits("pickup")
    pickup = library().current(tied.now).pickup
    _, end = next_slot(tied.now, pickup.slot_lead.total_seconds(), pickup.slot_length.total_seconds())
    return Awaited(end, found.due)


def second_visit(tied: Tied) -> Awaited:
    tied.waits("pickup", past=tied.waits("pickup").due)
    return slot_over(tied)


def sent_by_the_consumer(tied: Tied) -> tuple[str, Any]:
    """The parcel is at the counter; its waybill is given at the last moment."""
    ours = f"{tied.id.merchant_id}/{tied.id.rma_id}"
    parcel = {"waybill": "SF-1", "items": [f"{ours}/L1"], "tracking": WAY}
    tied.sim.server.do(tied.sim.outside.control("courier", "self_ship", parcel))
    return "provide_waybill", ProvideWaybill(waybill="SF-1")


def trace_over(tied: Tied) -> Awaited:
    """Nothing moved for three days, and the courier was asked."""
    first = tied.waits("delivery")
    return Awaited(first.since, tied.waits("delivery", past=first.due).due)


def moved_now(tied: Tied) -> None:
    """The parcel has its three days anew, from the movement a second ago."""
    assert tied.waits("delivery").due == tied.now - SECOND + timer(tied, "timers.trace")


def asked_the_courier(tied: Tied) -> None:
    """The parcel has until the seventh day."""
    lost, trace = timer(tied, "timers.lost"), timer(tied, "timers.trace")
    assert tied.waits("delivery").due == tied.now - trace + lost


DOOR = (
    # a visit that was held back is never made: three times missed, then no waybill in seven days
    Tie(
        "X3",
        "timers.self_ship",
        waits("waybill"),
        sent_by_the_consumer,
        said("sent by themselves, waybill SF-1"),
        ended("expired"),
        REFUND,
        {},
        plan=Plan(tier=0, method=Method.SELF_SHIP),
    ),
    Tie(
        "X4",
        "pickup.slot_grace",
        slot_over,
        lambda tied: ("report_pickup", tied.visited()),
        is_in("logistics", "picked_up"),
        said("visit 1: missed no_report"),
        REFUND | FREIGHT,
        {},
        script=courier(KEPT_BACK),
    ),
    Tie(
        "X5",
        "pickup.slot_grace",
        second_visit,
        lambda tied: ("report_pickup", tied.visited()),
        ended("expired"),
        said("visit 2: missed no_report"),
        {},
        {},
        script=courier(NO_SHOW, {**NO_SHOW, "hold": True}),
    ),
    Tie(
        "X5, seven days in all",
        "pickup.slot_grace",
        lambda tied: Awaited(START + timedelta(days=7, hours=-2), tied.waits("pickup").due),
        lambda tied: ("report_pickup", tied.visited()),
        ended("expired"),
        said("visit 1: missed no_report"),
        {},
        {},
        plan=Plan(tier=0, slot_in=timedelta(days=7, hours=-4)),
        script=courier({**NO_SHOW, "hold": True}),
    ),
    Tie(
        "X7",
        "timers.finding_answer",
        waits("finding_answer"),
        says("answer_finding", AnswerFinding(answer=FindingAnswer.WITHDRAW)),
        ended("withdrawn"),
        said("liable for CNY 360.00: consumer"),
        FREIGHT,
        {"J23": COAT, "J54": LOSS, "J21": COAT - LOSS, "J42": LOSS} | indemnity(LOSS) | FREIGHT,
        script=courier(found(30, "silent"), way=SLOW_WAY),
    ),
)

# ---- the parcel and the merchant ------------------------------------------------------------------------------------

LOST = REFUND | FREIGHT | indemnity(COAT) | from_carrier(COAT)
OBJECTED = objection(at_receipt())

PARCEL = (
    Tie(
        "X9, trace",
        "timers.trace",
        waits("delivery"),
        lambda tied: ("report_tracking", tied.movement("in_transit")),
        moved_now,
        asked_the_courier,
        LOST,
        LOST,
        script=courier(TAKEN, way=()),
    ),
    Tie(
        "X9, lost",
        "timers.lost",
        trace_over,
        lambda tied: ("report_tracking", tied.movement("delivered")),
        is_in("logistics", "delivered"),
        is_in("logistics", "lost"),
        REFUND | FREIGHT,
        LOST,
        script=courier(TAKEN, way=()),
    ),
    Tie(
        "X11, confirmed",
        "timers.receipt_silence",
        waits("receipt"),
        says("confirm_receipt", ConfirmReceipt()),
        said("receipt confirmed"),
        said("accepted by silence"),
        REFUND | FREIGHT,
        REFUND | FREIGHT,
    ),
    Tie(
        "X11, objected",
        "timers.receipt_silence",
        waits("receipt"),
        says("report_receipt_issue", OBJECTED),
        is_in("dispute", "evidence"),
        said("accepted by silence"),
        REFUND | FREIGHT | indemnity(LOSS) | from_carrier(LOSS),
        REFUND | FREIGHT,
        rules="carrier",
    ),
    Tie(
        "X12",
        "timers.receipt_silence",
        waits("receipt"),
        says("report_receipt_issue", OBJECTED),
        is_in("dispute", "evidence"),
        said("accepted by silence"),
        {"J20": COAT, "J21": COAT, "J22": COAT} | FREIGHT | indemnity(LOSS) | from_carrier(LOSS),
        {"J20": COAT, "J21": COAT, "J22": COAT} | FREIGHT,
        plan=Plan(),
        rules="carrier",
    ),
)

# ---- disputes ------------------------------------------------------------------------------------------------------

SILENT = "the consumer and the merchant said nothing"
NOTHING_MORE = says("submit_evidence", SubmitEvidence(nothing_more=True, by=Party.CONSUMER))


def dispute_shows(what: str, *, absent: str = "") -> Look:
    """A reviewer reads this on the dispute."""

    def look(tied: Tied) -> None:
        shown: str = tied.sim.server.query(first_dispute(tied), "status", str)
        assert what in shown and (not absent or absent not in shown), shown

    return look


def objected(tied: Tied) -> Awaited:
    """After the 48 hours in which an objection is paid in advance."""
    tied.until(tied.waits("receipt").since + timedelta(hours=50))
    tied.say("report_receipt_issue", OBJECTED)
    return tied.waits("evidence")


def heard(tied: Tied) -> Awaited:
    """Nobody said anything; a reviewer is asked."""
    tied.waits("evidence")
    return tied.waits("ruling_needed")


def asked_again(tied: Tied) -> None:
    """The alarm was raised, and will be again; nothing else changes until somebody rules."""
    attention = tied.status.attention
    assert attention is not None and attention.reason == "ruling_needed"
    assert attention.due == tied.now + timer(tied, "timers.ruling")


RULED = REFUND | FREIGHT

DISPUTES = (
    Tie(
        "X8",
        "timers.denial_evidence",
        waits("evidence"),
        NOTHING_MORE,
        dispute_shows("the merchant said nothing", absent=SILENT),
        dispute_shows(SILENT),
        RULED,
        RULED,
        script=courier(found(30, "disputes")),
        where=first_dispute,
    ),
    Tie(
        "X8, ruling",
        "timers.ruling",
        heard,
        lambda tied: ("apply_ruling", ApplyRuling(ruling_id=tied.sim.ruling(tied.case, "liability", "merchant"))),
        said("ruled: merchant"),
        asked_again,
        RULED,
        RULED,
        script=courier(found(30, "disputes")),
        where=first_dispute,
    ),
    Tie(
        "X14",
        "timers.dispute_evidence",
        objected,
        NOTHING_MORE,
        dispute_shows("the merchant said nothing", absent=SILENT),
        dispute_shows(SILENT),
        RULED,
        RULED,
        where=first_dispute,
    ),
)

# ---- money -----------------------------------------------------------------------------------------------------------


def refund_key(tied: Tied) -> str:
    return payment_key(tied.id, f"refund.pay-{tied.order.order_id}", 1)


def void_card(tied: Tied) -> Awaited:
    """The consumer's card takes no money."""
    void = {"payee": tied.order.consumer.consumer_ref, "state": "abnormal"}
    tied.sim.server.do(tied.sim.outside.control("psp", "accounts", void))
    return tied.waits("account")


def no_account_in_seven_days(tied: Tied) -> Awaited:
    first = void_card(tied)
    return Awaited(first.due, tied.waits("account", past=first.due).due)


def asked_for_longer(tied: Tied) -> None:
    """Another thirty days, with reminders."""
    assert tied.waits("account").due == tied.now + timer(tied, "timers.unclaimed")
    assert tied.region["refund"] == "abnormal"


def payer(tied: Tied, state: str) -> None:
    """The merchant's account at the payment provider."""
    body = {"payer": tied.id.merchant_id, "state": state}
    tied.sim.server.do(tied.sim.outside.control("psp", "payers", body))


def short_payer(tied: Tied) -> Awaited:
    payer(tied, "short")
    return tied.waits("payer_funds")


def funded_and_told(tied: Tied) -> tuple[str, Any]:
    payer(tied, "funded")
    key = refund_key(tied)
    return "report_payment", PaymentReport(
        event_id=f"settled:{key}", payment_key=key, news=PaymentNews.SETTLED, occurred_at=tied.now
    )


def alarm_then_funded(tied: Tied) -> None:
    """Day 1: people see it; the money comes after that."""
    attention = tied.status.attention
    assert attention is not None and attention.reason == "payer_short"
    payer(tied, "funded")


DEAR = 580_000
"""Two lines' worth above what one person may approve; two kilograms, 14.00 of freight."""
DESTROYED = {**TAKEN, "inspection": {"L1": {"finding": "damage", "severity": 100, "consumer": "agrees"}}}
DEAR_ENDS = {"J23": DEAR, "J54": DEAR, "J42": DEAR} | indemnity(DEAR) | {"J10": 1_400, "J11": 1_400, "J12": 1_400}


def paid_by_two(tied: Tied) -> None:
    """The alarm was due as well; the money leaves once, and only now."""
    assert tied.region["indemnity"] == "paid" and tied.books()["J34"] == DEAR


def nothing_paid(tied: Tied) -> None:
    """The alarm goes to the next level; the money stays."""
    said(f"approval of CNY {DEAR // 100}.00 escalated to level 2")(tied)
    assert "J34" not in tied.books()


ELSEWHERE = {"J23": COAT, "J61": COAT} | FREIGHT
UNCLAIMED = {"J23": COAT, "J62": COAT} | FREIGHT

PAYMENTS = (
    Tie(
        "X17",
        "timers.authority",
        waits("approval_required"),
        lambda tied: ("apply_approval", tied.approval()),
        paid_by_two,
        nothing_paid,
        DEAR_ENDS,
        DEAR_ENDS,
        plan=Plan(tier=0, lines=(("L1", 2, DEAR),)),
        script=courier(DESTROYED),
    ),
    Tie(
        "X19",
        "timers.account_answer",
        void_card,
        says("provide_account", ProvideAccount(account_ref="acc-1")),
        ended("refunded"),
        asked_for_longer,
        ELSEWHERE,
        UNCLAIMED,
    ),
    Tie(
        "X20",
        "timers.unclaimed",
        no_account_in_seven_days,
        says("provide_account", ProvideAccount(account_ref="acc-1")),
        ended("refunded"),
        ended("unclaimed"),
        ELSEWHERE,
        UNCLAIMED,
    ),
    Tie(
        "X21",
        "timers.payer_alarms",
        short_payer,
        funded_and_told,
        ended("refunded"),
        alarm_then_funded,
        REFUND | FREIGHT,
        REFUND | FREIGHT,
    ),
)

TIES = (*REQUESTS, *DOOR, *PARCEL, *DISPUTES, *PAYMENTS)

ticks = pytest.mark.parametrize("flags", [(), (ALL_AT_ONCE,)], ids=["in turn", "at once"])
paths = pytest.mark.parametrize("tie", TIES, ids=[tie.path for tie in TIES])


@pytest.fixture
def world(flags: Sequence[int]) -> Iterator[Simulation]:
    with simulation(7) as sim:
        sim.server.flags = flags
        yield sim


def timer(tied: Tied, name: str) -> timedelta:
    """A timer of the book by which the case goes."""
    return timer_of(library().current(tied.now), name)


def timer_of(book: Any, name: str) -> timedelta:
    """A timer of a book."""
    section, _, last = name.partition(".")
    found = getattr(getattr(book, section), last)
    span: timedelta = found[0] if isinstance(found, tuple) else found  # the first alarm
    return span


def a_second_before(tie: Tie, sim: Simulation) -> tuple[Tied, datetime]:
    """The case in its wait, one second before the deadline, and the deadline."""
    tied = Tied(sim, tie.plan, tie.script)
    since, due = tie.begin(tied)
    assert due == since + timer(tied, tie.field)
    tied.until(due - 2 * SECOND)
    before = tied.seen()
    tied.until(due - SECOND)
    assert tied.seen() == before
    return tied, due


def together(sim: Simulation, run: Run, due: datetime) -> None:
    """On to the deadline; what was said later arrives in the task of the timer."""
    tasks = len(run.log)
    while sim.server.now < due:
        assert sim.jump()
    assert sim.server.now == due
    assert {"fire_timer", "do_update"} <= jobs(run, tasks)[0], jobs(run, tasks)


@ticks
@paths
def test_an_answer_with_the_timer_counts(tie: Tie, world: Simulation) -> None:
    """The domain: an answer in time is an answer, and what would have happened by itself does not."""
    tied, due = a_second_before(tie, world)
    update, body = tie.answer(tied)
    answer = tied.say(update, body, to=tie.where(tied), later=True)
    together(world, world.server.runs[tie.where(tied)], due)
    assert answer.accepted and answer.refusal is None
    tie.answered(tied)
    tied.finish(tie.rules)
    assert tied.books() == dict(tie.books)


@ticks
@paths
def test_silence_has_its_outcome(tie: Tie, world: Simulation) -> None:
    """What happens by itself, at the deadline and not before."""
    tied, due = a_second_before(tie, world)
    while world.server.now < due:
        assert world.jump()
    assert world.server.now == due
    tie.silent(tied)
    tied.finish(tie.rules)
    assert tied.books() == dict(tie.books_silent)


@ticks
@paths
def test_more_time_with_the_timer_is_more_time(tie: Tie, world: Simulation) -> None:
    """An operator extends the deadline in its own task: it is armed again, visibly, and silence acts at the new one."""
    tied, due = a_second_before(tie, world)
    before = tied.seen()
    where = tie.where(tied)
    more = tied.say("extend_deadline", ExtendDeadline(seconds=3_600), to=where, later=True)
    together(world, world.server.runs[where], due)
    assert more.accepted and more.refusal is None
    waiting = tied.status.attention or tied.status.waiting
    assert waiting is not None and waiting.due == due + timedelta(hours=1)
    tied.until(due + timedelta(hours=1) - SECOND)
    assert (tied.region, tied.books()) == (before[0], before[-1])
    while world.server.now < due + timedelta(hours=1):
        assert world.jump()
    if not tie.path.startswith("X9, trace"):
        tie.silent(tied)
    tied.finish(tie.rules)
    assert tied.books() == dict(tie.books_silent)


# ---- two answers in one task ----------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """Two answers that exclude each other: the first counts, the second is refused."""

    name: str
    tie: str
    first: tuple[str, Any]
    second: tuple[str, Any]
    code: str
    counts: Look


def of_path(path: str) -> Tie:
    """The tie of this path."""
    return next(tie for tie in TIES if tie.path == path)


CONFIRM, OBJECT = ("confirm_receipt", ConfirmReceipt()), ("report_receipt_issue", OBJECTED)
AUTHORIZE, DECLINE = ("authorize", Authorize()), ("decline", Decline(reason="worn"))
QUESTION, WITHDRAW = ("request_info", RequestInfo(question="photos")), ("withdraw", Withdraw())
KEEP, RETURN = (("answer_offer", AnswerOffer(answer=answer)) for answer in OfferAnswer)
STANDS, DENIED = (("answer_finding", AnswerFinding(answer=answer)) for answer in list(FindingAnswer)[:2])
ACCOUNTS = [("provide_account", ProvideAccount(account_ref=f"acc-{n}")) for n in (1, 2)]
PAIRS = (
    Pair("confirmed, objected", "X11, objected", CONFIRM, OBJECT, "already_decided", said("receipt confirmed")),
    Pair("objected, confirmed", "X11, objected", OBJECT, CONFIRM, "already_decided", is_in("dispute", "evidence")),
    Pair("accepted, withdrawn", "X30", KEEP, WITHDRAW, "already_decided", ended("retained")),
    Pair("withdrawn, accepted", "X30", WITHDRAW, KEEP, "already_decided", ended("withdrawn")),
    Pair("accepted, refused", "X30", KEEP, RETURN, "already_decided", ended("retained")),
    Pair("authorized, declined", "X1", AUTHORIZE, DECLINE, "already_decided", is_in("authorization", "authorized")),
    Pair("declined, authorized", "X1", DECLINE, AUTHORIZE, "already_decided", is_in("authorization", "declined")),
    Pair("declined, withdrawn", "X1", DECLINE, WITHDRAW, "already_decided", is_in("authorization", "declined")),
    Pair("withdrawn, declined", "X1", WITHDRAW, DECLINE, "already_decided", ended("withdrawn")),
    Pair("asked, declined", "X1", QUESTION, DECLINE, "already_decided", is_in("authorization", "info_requested")),
    Pair("stands, denied", "X7", STANDS, DENIED, "already_decided", said("liable for CNY 360.00: consumer")),
    Pair("denied, stands", "X7", DENIED, STANDS, "already_decided", is_in("dispute", "evidence")),
    Pair("one account, another", "X19", ACCOUNTS[0], ACCOUNTS[1], "already_decided", ended("refunded")),
)


@ticks
@pytest.mark.parametrize("pair", PAIRS, ids=[pair.name for pair in PAIRS])
def test_the_first_of_two_answers_counts(pair: Pair, world: Simulation) -> None:
    """Both come with the timer, in one task: the second is refused with its code, and leaves nothing behind."""
    tie = of_path(pair.tie)
    tied, due = a_second_before(tie, world)
    first, second = (tied.say(*answer, later=True) for answer in (pair.first, pair.second))
    together(world, tied.run, due)
    assert (first.accepted, first.refusal) == (True, None)
    assert (second.accepted, second.refusal) == (False, pair.code)
    pair.counts(tied)
    tied.finish(tie.rules)


@ticks
def test_a_parcel_that_the_consumer_sent_is_not_brought_back(world: Simulation) -> None:
    """Withdrawn, and seen moving a second after that, both told in one task: nobody can bring the parcel back, so that
    it goes on to the merchant and is refunded."""
    tied = Tied(world, Plan(tier=0, method=Method.SELF_SHIP), courier())
    tied.waits("waybill")
    tied.say(*sent_by_the_consumer(tied))
    tied.waits("first_trace")
    first = tied.movement("in_transit").model_copy(update={"occurred_at": tied.now + 2 * SECOND})
    withdrawn = tied.say("withdraw", Withdraw(), later=True)
    tied.say("report_tracking", first)
    assert withdrawn.accepted
    assert "not brought back: the return goes on" in tied.told
    tied.finish("merchant")
    assert tied.status.outcome == "refunded"


@ticks
@pytest.mark.parametrize("late", [False, True], ids=["with the alarm", "a second late"])
def test_the_insurers_answer_and_its_alarm(late: bool, world: Simulation) -> None:
    """X16: an answer that is there at the 24th hour raises no alarm; a second later people are told, and it counts."""
    day = timedelta(days=1)
    after = (day + late * SECOND) // timedelta(milliseconds=1)
    script = {"decision": "pending", "then": "approve", "after_ms": after}
    world.server.do(world.outside.script("insurer", "loss", **script))
    tied = Tied(world, PLAIN, courier(found(30, "agrees")))
    while tied.region["indemnity"] == "none":
        assert world.jump()
    tied.until(tied.now + day - SECOND)
    assert tied.seen()[2] is None and "J31" not in tied.books()
    tied.until(tied.now + SECOND)
    attention = tied.status.attention
    assert (attention is not None and attention.reason == "insurer_late") is late
    assert ("J31" in tied.books()) is not late
    tied.finish("merchant")
    assert tied.books() == {"J23": COAT, "J54": LOSS, "J21": COAT - LOSS, "J42": LOSS} | indemnity(LOSS) | FREIGHT


@ticks
@pytest.mark.parametrize("late", [False, True], ids=["at 48 h", "a second later"])
def test_a_receipt_finding_at_the_end_of_its_time(late: bool, world: Simulation) -> None:
    """X10: 48 hours after signing it is still paid in advance; a second later it is a dispute without an advance."""
    tied = Tied(world, PLAIN, courier(TAKEN))
    tied.until(tied.waits("receipt").since + timer(tied, "timers.receipt_finding") + late * SECOND)
    tied.say("report_receipt_issue", OBJECTED)
    assert (tied.region["dispute"] == "evidence") is late
    assert ("J34" in tied.books()) is not late
    tied.finish("carrier")
    assert tied.books() == REFUND | FREIGHT | indemnity(LOSS) | from_carrier(LOSS)


# ---- after the ruling, after the close -----------------------------------------------------------------------------


@ticks
@pytest.mark.parametrize("late", [False, True], ids=["at 7 d", "a second later"])
def test_an_appeal_at_the_end_of_its_time(late: bool, world: Simulation) -> None:
    """X15: seven days to the second after both sides were told of the ruling another reviewer is asked; a second later
    it is refused."""
    tied = Tied(world, PLAIN, courier(found(30, "disputes"), way=SLOW_WAY))
    tied.waits("ruling_needed")
    ruling = world.ruling(tied.case, "liability", "merchant")
    tied.say("apply_ruling", ApplyRuling(ruling_id=ruling))
    tied.waits("receipt")
    told_at = world.told_of(ruling)
    tied.until(told_at + timer(tied, "timers.appeal") + late * SECOND)
    said_no = LodgeAppeal(appeal_id="appeal-1", ruling_id=ruling, by=Party.MERCHANT, reason="not so")
    told = tied.say("appeal", said_no, refused="appeal_late" if late else None)
    assert told.accepted is not late
    assert (tied.region["dispute"] == "appealed") is not late
    if not late:
        tied.waits("ruling_needed")
        last = world.ruling(tied.case, "liability", "consumer", by="reviewer-2", overrules=ruling)
        tied.say("apply_ruling", ApplyRuling(ruling_id=last))
    tied.finish("merchant")
    withheld = {"J23": COAT, "J54": LOSS, "J21": COAT - LOSS, "J42": LOSS} | indemnity(LOSS) | FREIGHT
    assert tied.books() == (RULED if late else withheld)


def recovering(tied: Tied, code: str) -> tuple[Run, datetime]:
    """On to where the case's recovery waits for this; the recovery, and until when it waits."""
    while True:
        found = next((run for run in tied.sim.server.runs.values() if run.kind == "Recovery"), None)
        if found is not None:
            waiting = recovery_status(tied, found).waiting
            if waiting is not None and waiting.code == code:
                return found, waiting.due
        assert tied.sim.jump(), f"no recovery ever waits for {code}"


def recovery_status(tied: Tied, run: Run) -> RecoveryStatus:
    status: RecoveryStatus = tied.sim.server.query(run.id, "status", RecoveryStatus)
    return status


def consumers_fault(world: Simulation) -> Tied:
    """Paid by lightning, no cover, damaged at the receipt; ruled to be the consumer's."""
    tied = Tied(world, Plan(rdv=False), courier(TAKEN))
    objected(tied)
    tied.waits("ruling_needed")
    tied.say("apply_ruling", ApplyRuling(ruling_id=world.ruling(tied.case, "liability", "consumer")))
    return tied


CLAWED_BACK = {"J20": COAT, "J21": COAT, "J22": COAT - LOSS, "J50": LOSS, "J51": LOSS} | FREIGHT


@ticks
@pytest.mark.parametrize("more", [False, True], ids=["in its time", "more time with the timer"])
def test_a_clawback_begins_when_its_notice_has_run_out(more: bool, world: Simulation) -> None:
    """X26, X28: seven days after the consumer was told they are charged, not a second before; time that an operator
    gives in the timer's own task is time."""
    tied = consumers_fault(world)
    run, due = recovering(tied, "payment")
    waiting = recovery_status(tied, run).waiting
    assert waiting is not None and due == waiting.since + timer(tied, "timers.clawback_notice")
    tied.until(due - SECOND)
    assert "J51" not in tied.books() and not run.closed
    if more:
        given = tied.say("extend_deadline", ExtendDeadline(seconds=3_600), to=run.id, later=True)
        together(world, run, due)
        assert given.accepted and given.refusal is None
        due += timedelta(hours=1)
        waiting = recovery_status(tied, run).waiting
        assert waiting is not None and waiting.due == due
        tied.until(due - SECOND)
        assert "J51" not in tied.books() and not run.closed
    while world.server.now < due:
        assert world.jump()
    assert world.server.now == due and tied.books() == CLAWED_BACK
    tied.finish("consumer")
    assert tied.books() == CLAWED_BACK


@ticks
@pytest.mark.parametrize("late", [False, True], ids=["at 15 d", "a second late"])
def test_the_carriers_money_at_the_end_of_its_time(late: bool, world: Simulation) -> None:
    """X27: money that is there on the fifteenth day to the second is in time; a second later the demand is past due,
    what the carrier accepted has as much time again, and the money counts all the same."""
    span = timer_of(library().current(START), "recovery.demand_answer")
    paid = (span - timedelta(days=5) + late * SECOND) // timedelta(milliseconds=1)
    demand = {"answer": "accept", "after_ms": 120 * HOUR, "pay_after_ms": paid}
    tied = Tied(world, PLAIN, {**courier(TAKEN), "demand": demand})
    tied.waits("receipt")
    tied.say("report_receipt_issue", OBJECTED)
    run, _ = recovering(tied, "demand_answer")
    demanded = recovery_status(tied, run).opened_at
    tied.until(demanded + span - SECOND)
    assert "J44" not in tied.books() and not run.closed
    while world.server.now < demanded + span:
        assert world.jump()
    assert run.closed is not late
    tied.finish("carrier")
    assert tied.books() == REFUND | FREIGHT | indemnity(LOSS) | from_carrier(LOSS)
