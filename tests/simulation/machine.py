"""What may happen to returns, in any order: the rules of a Hypothesis state machine, and what must hold whatever did.

A sequence opens returns, lets the parties do what the domain lets them (and what it does not), lets time pass, kills
workers, loses answers and reports. At its end the weather clears, people do what parked cases ask for, and everything
must close: with books that balance, invariants that hold, providers that say what our journal says, and histories that
replay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from activities.contract import CycleRequest
from backhaul.errors import CODES
from backhaul.facts import Finding, LiabilityShare, Liable, LineFinding, Method, Party, Reason, RemedyKind, Risk
from backhaul.ids import CaseId, payment_key
from backhaul.ledger import CaseRef, freight_above_cap, made
from backhaul.messages import (
    AnswerFinding,
    AnswerInfo,
    AnswerOffer,
    ApplyApproval,
    ApplyRuling,
    Authorize,
    CloseCase,
    ConfirmReceipt,
    CorrectionStatus,
    Decline,
    Escalate,
    EvidenceRef,
    ExtendDeadline,
    FindingAnswer,
    OfferAnswer,
    OpenReturn,
    ProvideAccount,
    ProvideWaybill,
    ReportReceiptIssue,
    RequestInfo,
    RetryStep,
    SkipStep,
    SubmitEvidence,
    Withdraw,
)
from backhaul.names import WorkflowType
from store import claims, effects, ledger
from store.tables import EffectRow
from tests.simulation.books import differences, left_alone, paid_twice, violations
from tests.simulation.server import Run, Told
from tests.simulation.world import Plan, Simulation, simulation
from tests.workflows.world import cny

BENCH = EvidenceRef(ref="bench.jpg", sha256="b" * 64, by=Party.MERCHANT)
HOUR = 3_600_000
"""In milliseconds, as the courier's scripts count."""
OURS = frozenset(
    {
        "invariant_broken",
        "entry_conflict",
        "effect_conflict",
        "unbalanced",
        "over_refund",
        "over_indemnity",
        "step_failed",
    }
)
"""Reasons to park that are bugs of ours: no sequence of events may lead there."""
KINDS = ("refund", "refund", "advance", "settlement", ":offer.", ":payout.", ":collect.")
"""What of the payment provider's work goes wrong, by a part of its keys."""
LIABLE = ("consumer", "carrier", "merchant", "insurer")
ENDED_BY_PEOPLE = ("refund", "charge", "set_off")
"""Kinds of effects whose end, if the provider gives none, a second person says."""
MAX_HEALING = 600
SEVERITIES = (10, 30, 50, 80, 100)
TALLY: Counter[str] = Counter()
"""What all sequences of this process came to, for the report."""

a_finding = st.one_of(
    st.fixed_dictionaries({"finding": st.just("damage"), "severity": st.sampled_from(SEVERITIES)}),
    st.fixed_dictionaries({"finding": st.sampled_from(["mismatch", "missing", "counterfeit", "unverifiable"])}),
)
FITTING: dict[str, tuple[tuple[str, Any], ...]] = {
    "merchant_review": (
        ("authorize", Authorize()),
        ("authorize", Authorize()),
        ("request_info", RequestInfo(question="photos")),
        ("request_info", RequestInfo(question="photos")),
        ("decline", Decline(reason="worn")),
    ),
    "info_answer": (("answer_info", AnswerInfo(note="as it came")),),
    "offer": tuple(("answer_offer", AnswerOffer(answer=answer)) for answer in OfferAnswer),
    "escalation": (("escalate", Escalate(reason="unfair")),),
    "finding_answer": tuple(("answer_finding", AnswerFinding(answer=answer)) for answer in FindingAnswer),
    "receipt": (
        ("confirm_receipt", ConfirmReceipt()),
        ("confirm_receipt", ConfirmReceipt(contradicts_doorstep=True)),
        *(
            ("report_receipt_issue", ReportReceiptIssue(findings=(found,), evidence=shown))
            for found in (
                LineFinding(line_id="L1", finding=Finding.DAMAGE, quantity=1, severity=30),
                LineFinding(line_id="L1", finding=Finding.MISSING, quantity=1),
            )
            for shown in ((BENCH,), ())
        ),
    ),
    "evidence": tuple(
        ("submit_evidence", SubmitEvidence(nothing_more=True, by=by)) for by in (Party.CONSUMER, Party.MERCHANT)
    ),
    "account": tuple(("provide_account", ProvideAccount(account_ref=account)) for account in ("acc-2", "acc-3")),
}
"""What the party on whom a case waits may say, by what it waits for."""
said = st.sampled_from(["agrees", "disputes", "withdraws", "silent"])


@st.composite
def visits(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What the courier's visits will come to; most take the goods at once."""
    made = []
    for _ in range(draw(st.integers(1, 3))):
        outcome = draw(st.sampled_from(["picked_up"] * 6 + ["missed", "no_show", "rejected"]))
        visit: dict[str, Any] = {"outcome": outcome, "after_ms": draw(st.sampled_from([1, 3, 20, 60])) * HOUR}
        if outcome == "rejected":
            visit["reason"] = draw(st.sampled_from(["unpacked", "prohibited"]))
        if outcome == "picked_up":
            found: Any = draw(st.one_of(st.just({}), st.just({}), st.just("waived"), a_finding))
            if isinstance(found, dict) and found:
                found = {"L1": {**found, "consumer": draw(said)}}
            visit["inspection"] = found
            visit["reported_after_ms"] = draw(st.sampled_from([0, 0, 0, 30 * HOUR]))
        made.append(visit)
    return made


@st.composite
def movements(draw: st.DrawFn) -> list[dict[str, Any]]:
    """How the parcel travels."""
    way = draw(
        st.sampled_from(
            [("in_transit", "delivered")] * 8
            + [("delivered",), ("in_transit",), (), ("in_transit", "lost"), ("in_transit", "returned")]
            + [("lost", "found", "delivered"), ("lost", "found", "lost"), ("in_transit", "lost", "returned")]
        )
    )
    return [{"status": status, "after_ms": draw(st.sampled_from([1, 10, 80, 200])) * HOUR} for status in way]


@st.composite
def demands(draw: st.DrawFn) -> dict[str, Any]:
    """How the carrier answers a demand."""
    answer = draw(st.sampled_from(["accept"] * 4 + ["contest", "silent"]))
    return {"answer": answer, "after_ms": draw(st.sampled_from([0, 50])) * HOUR, "pay_after_ms": 0}


WAYS = ("return",) * 10 + ("offer",) * 2 + ("money",) * 2 + ("not_shipped",)
"""What a consumer asks for: the goods go back, a merchant offers something for keeping them, the money alone."""
RISKS = (Risk.ALLOW,) * 7 + (Risk.STEP_UP, Risk.REFER, Risk.DENY)
SHARES = ((), (), (), (60, 40), (50, 30, 20))
"""How an order was paid: at once, or in several payments, in percent."""


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """An order, what covers it, and what is asked of it; most are an ordinary return."""
    way = draw(st.sampled_from(WAYS))
    lines = draw(
        st.sampled_from(
            [(("L1", 1, 120_000),), (("L1", 2, 40_000),), (("L1", 3, 10_000), ("L2", 1, 25_000)), (("L1", 1, 450),)]
        )
    )
    paid = sum(line[2] for line in lines)
    return Plan(
        lines=lines,
        reason=draw(st.sampled_from(list(Reason))),
        method=draw(st.sampled_from([Method.PICKUP] * 4 + [Method.SELF_SHIP])),
        tier=draw(st.sampled_from([0, 3, 5])),
        credit=draw(st.sampled_from([500_000, 60_000])),
        risk=draw(st.sampled_from(RISKS)),
        rfi=draw(st.sampled_from([True, True, True, False])),
        rdv=draw(st.sampled_from([True, True, False])),
        auto=draw(st.booleans()),
        commission_bps=draw(st.sampled_from([0, 500, 333])),
        signed_days_ago=None if way == "not_shipped" else draw(st.sampled_from([2, 2, 2, 2, 6.9, 12])),
        shipped_days_ago=draw(st.sampled_from([None, None, 1])) if way == "not_shipped" else None,
        offers=way == "offer",
        remedy=RemedyKind.REFUND_ONLY if way in {"money", "not_shipped"} else RemedyKind.RETURN,
        payments=tuple(paid * share // 100 for share in draw(st.sampled_from(SHARES))) or None,
    )


class Returns(RuleBasedStateMachine):
    """Any sequence of events, answers, silences and faults."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.begun: Simulation | None = None
        self.orders: list[tuple[Any, Plan]] = []
        self.cases: list[str] = []
        self.cuts = 0
        self.bounced = False
        self.refusals: dict[str, str] = {}
        """What the last help that was refused was refused with."""
        self.ruled: dict[str, str] = {}
        """The ruling on liability that a case goes by."""
        self.appealed: dict[str, str] = {}
        """The ruling that was appealed against."""
        self.fault: str | None = None
        """By whose fault the first return went wrong, in a sequence that begins so."""
        self.given_up: set[str] = set()
        """Keys of payments that people ended, and that the provider never carried out."""

    @property
    def sim(self) -> Simulation:
        """The world of this sequence."""
        assert self.begun is not None
        return self.begun

    # ---- rules -------------------------------------------------------------------------------------------------

    @initialize(
        seed=st.integers(0, 2**31),
        weather=st.sampled_from([0, 0, 10, 30]),
        dies=st.sampled_from([0, 0, 10]),
        loses=st.sampled_from([0, 0, 10]),
        plan=plans(),
        courier=visits(),
        way=movements(),
        demand=demands(),
        fault=st.sampled_from([None] * 14 + ["consumer", "carrier"]),
    )
    def begin(
        self,
        seed: int,
        weather: int,
        dies: int,
        loses: int,
        plan: Plan,
        courier: Any,
        way: Any,
        demand: Any,
        fault: str | None,
    ) -> None:
        """A new world with its weather, and a first return. Now and then one for which somebody is to pay."""
        self.begun = self.stack.enter_context(simulation(seed))
        if fault is not None:
            self._goes_wrong(fault)
        self.sim.weather.percent, self.sim.worker_dies, self.sim.post_loses = weather, dies, loses
        if fault is None:
            self.opens(plan, courier, way, demand, same=False)

    @rule(plan=plans(), courier=visits(), way=movements(), demand=demands(), same=st.booleans())
    @precondition(lambda self: len(self.cases) < 3)
    def another(self, plan: Plan, courier: Any, way: Any, demand: Any, same: bool) -> None:
        """One more return."""
        self.opens(plan, courier, way, demand, same)

    def opens(self, plan: Plan, courier: Any, way: Any, demand: Any, same: bool) -> None:
        """A consumer opens a return: of a new order, or once more of one that has returns."""
        if same and self.orders:
            order, before = self.orders[-1]
            plan = before
        else:
            order = self.sim.order(plan)
            self.orders.append((order, plan))
        script = {"visits": courier, "tracking": way, "demand": demand}
        case = self.sim.open_return(order, plan, courier=script)
        if case in self.sim.server.runs and not self._failed_start(case):
            self.cases.append(case)

    def _failed_start(self, case: str) -> bool:
        return self.sim.server.runs[case].failure is not None

    def _goes_wrong(self, liable: str) -> None:
        """Damage behind a clean door. After lightning without a cover the consumer is ruled liable, and charged; with
        one it is the carrier, who says nothing, and to whom we owe something to set off against."""
        self.fault = liable
        visit, way = {"outcome": "picked_up", "after_ms": HOUR}, [{"status": "delivered", "after_ms": HOUR}]
        self.opens(Plan(rdv=liable == "carrier"), [visit], way, {"answer": "silent"}, same=False)
        (case,) = self.cases
        self._until(case, "receipt")
        damage = LineFinding(line_id="L1", finding=Finding.DAMAGE, quantity=1, severity=30)
        self._say(case, "report_receipt_issue", ReportReceiptIssue(findings=(damage,), evidence=(BENCH,)))
        if liable == "consumer":
            self._until(case, "ruling_needed")
            self._rule(case, "liability", liable)
            return
        request = self.sim.opened[case]
        order = self.orders[-1][0]
        about = CaseRef(
            merchant_id=request.merchant_id,
            order_id=request.order_id,
            rma_id=request.rma_id,
            consumer_ref=order.consumer.consumer_ref,
        )
        owed = freight_above_cap(about, cny(10_000), bearer="merchant", courier="sandbox", waybill="older")

        async def owe(session: AsyncSession) -> None:
            await ledger.post(session, made(owed), self.sim.server.now)

        self.sim.server.do(self.sim.store.run(owe))

    def _until(self, case: str, code: str) -> None:
        """On to where a case waits for this, or is parked for it."""
        while True:
            status = self.sim.status(case)
            if code in {status.waiting and status.waiting.code, status.attention and status.attention.reason}:
                return
            assert self.sim.jump(), f"never waits for {code}: {status.model_dump_json()}"

    @rule(data=st.data())
    @precondition(lambda self: bool(self.cases))
    def consumer(self, data: st.DataObject) -> None:
        """A consumer says something, fitting or not."""
        case = data.draw(st.sampled_from(self.cases), "case")
        update, body = data.draw(
            st.sampled_from(
                [
                    ("withdraw", Withdraw()),
                    ("answer_offer", AnswerOffer(answer=OfferAnswer.ACCEPT)),
                    ("answer_offer", AnswerOffer(answer=OfferAnswer.REFUSE)),
                    ("answer_info", AnswerInfo(note="as it came")),
                    ("provide_account", ProvideAccount(account_ref="acc-2")),
                    ("submit_evidence", SubmitEvidence(nothing_more=True, by=Party.CONSUMER)),
                    ("escalate", Escalate(reason="unfair")),
                    ("provide_waybill", None),
                    *(("answer_finding", AnswerFinding(answer=answer)) for answer in FindingAnswer),
                ]
            ),
            "says",
        )
        if body is None:
            self._posts(case, data.draw(movements(), "way"))
        else:
            self._say(case, update, body, later=data.draw(st.booleans(), "with the next"))

    def _posts(self, case: str, way: list[dict[str, Any]]) -> None:
        """A consumer sends the goods, and says so."""
        waybill = f"SF-{case.rpartition(':')[2]}"
        told = self._say(case, "provide_waybill", ProvideWaybill(waybill=waybill))
        if told.result is not None:
            request = self.sim.opened[case]
            lines = [f"{request.merchant_id}/{request.rma_id}/{line}" for line in self.sim.lines(case)]
            parcel = {"waybill": waybill, "items": lines, "tracking": way}
            self.sim.server.do(self.sim.outside.control("courier", "self_ship", parcel))

    @rule(data=st.data())
    @precondition(lambda self: bool(self.cases))
    def merchant(self, data: st.DataObject) -> None:
        """A merchant says something, fitting or not."""
        case = data.draw(st.sampled_from(self.cases), "case")
        line = data.draw(st.sampled_from(self.sim.lines(case)), "line")
        found = data.draw(a_finding, "finding")
        shown = data.draw(st.sampled_from([(BENCH,), (BENCH,), ()]), "with")
        seen = LineFinding.model_validate({**found, "line_id": line, "quantity": 1})
        issue = ReportReceiptIssue(findings=(seen,), evidence=shown)
        update, body = data.draw(
            st.sampled_from(
                [
                    ("authorize", Authorize()),
                    ("decline", Decline(reason="worn")),
                    ("request_info", RequestInfo(question="photos")),
                    ("submit_evidence", SubmitEvidence(nothing_more=True, by=Party.MERCHANT)),
                    ("confirm_receipt", ConfirmReceipt()),
                    ("confirm_receipt", ConfirmReceipt(contradicts_doorstep=True)),
                    ("report_receipt_issue", issue),
                ]
            ),
            "says",
        )
        self._say(case, update, body, later=data.draw(st.booleans(), "with the next"))

    @rule(data=st.data(), times=st.integers(1, 4))
    @precondition(lambda self: bool(self.cases))
    def answers(self, data: st.DataObject, times: int) -> None:
        """A case goes on as it should: whoever it waits for says something that fits, or what they plan happens."""
        case = data.draw(st.sampled_from(self.cases), "case")
        for _ in range(times):
            if self.sim.server.runs[case].closed:
                return
            waiting = self.sim.status(case).waiting
            code = None if waiting is None else waiting.code
            if code == "waybill":
                self._posts(case, data.draw(movements(), "way"))
            elif code in FITTING:
                update, body = data.draw(st.sampled_from(FITTING[code]), "says")
                self._say(case, update, body)
            else:
                self.sim.jump()

    @rule(data=st.data())
    @precondition(lambda self: bool(self.cases))
    def operator(self, data: st.DataObject) -> None:
        """An operator presses something, fitting or not."""
        case = data.draw(st.sampled_from(self.cases), "case")
        decides, outcome = data.draw(
            st.sampled_from(
                [("liability", each) for each in LIABLE] + [("authorization", "authorize"), ("authorization", "uphold")]
            ),
            "ruling",
        )
        update = data.draw(
            st.sampled_from(["retry_step", "skip_step", "extend_deadline", "apply_ruling", "close_case"]), "presses"
        )
        body: Any = {
            "retry_step": RetryStep(),
            "skip_step": SkipStep(provider_proof=True),
            "extend_deadline": ExtendDeadline(seconds=3_600),
            "close_case": CloseCase(reason="tired of it"),
        }.get(update)
        if body is not None:
            self._say(case, update, body)
        else:
            self._rule(case, decides, outcome)

    @rule(data=st.data(), by=st.sampled_from([Party.CONSUMER, Party.MERCHANT]))
    @precondition(lambda self: bool(self.ruled))
    def appeals(self, data: st.DataObject, by: Party) -> None:
        """A side asks for another reviewer."""
        case = data.draw(st.sampled_from(sorted(self.ruled)), "case")
        self._appeal(case, by)

    @rule(
        kind=st.sampled_from(KINDS),
        state=st.sampled_from(["succeeded", "pending", "failed"]),
        then=st.sampled_from(["succeeded", "failed", None]),
        code=st.sampled_from(["account_abnormal", "channel_closed", "insufficient_balance"]),
        hours=st.sampled_from([0, 1, 30]),
        collects=st.sampled_from([None, None, 5_000]),
    )
    def payment_mood(
        self, kind: str, state: str, then: str | None, code: str, hours: int, collects: int | None
    ) -> None:
        """The payment provider becomes slow, or says no."""
        script: dict[str, Any] = {"state": state, "after_ms": hours * HOUR, "collects": collects}
        if state == "pending" and then is not None:
            script["then"] = then
        if "failed" in (state, script.get("then")):
            script["code"] = code
        self.sim.server.do(self.sim.outside.script("psp", kind, **script))

    @rule(account=st.sampled_from(["the consumer's", "acc-2", "acc-3"]), state=st.sampled_from(["abnormal", "normal"]))
    @precondition(lambda self: bool(self.orders))
    def account_mood(self, account: str, state: str) -> None:
        """An account takes no money, or takes it again."""
        payee = self.orders[-1][0].consumer.consumer_ref if account == "the consumer's" else account
        self.sim.server.do(self.sim.outside.control("psp", "accounts", {"payee": payee, "state": state}))

    @rule(state=st.sampled_from(["short", "short", "funded", "closed"]))
    @precondition(lambda self: bool(self.orders))
    def payer_mood(self, state: str) -> None:
        """The account that refunds of an order are paid from is short, has money again, or ends what waits for it."""
        payer = self.orders[-1][0].merchant.merchant_id
        self.sim.server.do(self.sim.outside.control("psp", "payers", {"payer": payer, "state": state}))

    @rule(data=st.data())
    @precondition(lambda self: bool(self.cases))
    def gives_up(self, data: st.DataObject) -> None:
        """Two people end a payment of which nobody knows what became."""
        case = data.draw(st.sampled_from(self.cases), "case")
        for run in [one for one in self.sim.server.runs.values() if not one.closed and self._case_of(one) == case]:
            self._give_up(run, case)

    @rule(decision=st.sampled_from(["approve", "deny", "pending"]), then=st.sampled_from(["approve", "deny"]))
    def insurer_mood(self, decision: str, then: str) -> None:
        """The insurer takes its time, or denies."""
        script = {"decision": decision, "then": then, "code": "not_covered"}
        if decision == "pending":
            script["after_ms"] = 7 * HOUR  # type: ignore[assignment]
        self.sim.server.do(self.sim.outside.script("insurer", "loss", **script))

    @rule(hours=st.sampled_from([1, 12, 30, 80, 200, 800]))
    def time_passes(self, hours: int) -> None:
        """Hours or weeks go by."""
        self.sim.sleep(timedelta(hours=hours))

    @rule(times=st.integers(1, 4))
    def until_something_happens(self, times: int) -> None:
        """To the next timer, retry or report, exactly."""
        for _ in range(times):
            self.sim.jump()

    @rule()
    def worker_restarts(self) -> None:
        """Every case is replayed on another worker."""
        self.sim.server.restart_worker()

    @rule(what=st.sampled_from(["cycle", "cycle", "reconciliation"]))
    @precondition(lambda self: bool(self.cases))
    def night(self, what: str) -> None:
        """A settlement cycle runs, or the reconciliation in the middle of it all: money under way is no finding."""
        if what == "reconciliation":
            self._reconciles()
            return
        self.cuts += 1
        cut = f"cut{self.cuts}"
        self.sim.server.start(WorkflowType.SETTLEMENT_CYCLE.value, f"cycle:{cut}", CycleRequest(cut=cut))
        self.sim.work()

    def _reconciles(self) -> None:
        self.cuts += 1
        report = self.sim.reconcile(f"look{self.cuts}")
        wrong = [one for one in report.findings if not one.subject.startswith("psp bounce")]  # those start corrections
        assert not wrong, report.model_dump_json(indent=1)

    @rule()
    def bounces(self) -> None:
        """Refunds of closed cases come back to the payment provider, which tells nobody."""
        psp = self.sim.parties["psp"]
        closed = [case for case in self.cases if self.sim.server.runs[case].closed]
        for row in psp.book.all("SELECT id, key FROM transfers WHERE kind = 'refund' AND state = 'succeeded'"):
            if any(row["key"].startswith(f"{case.removeprefix('return:')}:") for case in closed):
                psp._bounce(row["id"], {})
                self.bounced = True

    # ---- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def nobody_waits_in_silence(self) -> None:
        """Invariant 15: an open case waits with a deadline, works, or is parked with a reason and a deadline."""
        if self.begun is None:
            return
        for case in self.cases:
            run = self.sim.server.runs[case]
            if run.closed:
                continue
            status = self.sim.status(case)
            attention = status.attention
            if attention is not None:
                assert attention.reason not in OURS, f"{case} parked: {attention.reason}: {attention.headline}"
                assert attention.send, case
            busy = bool(run.asked or run.timers)
            assert busy or status.waiting is not None or attention is not None, f"{case} waits for nothing at all"

    def teardown(self) -> None:
        """The weather clears, people help, everything closes; then the books are read."""
        try:
            if self.cases:
                self._heal()
                if self._appeal_again():
                    self._heal()
                if self.bounced:  # nobody told of it: the reconciliation finds it, and starts the correction
                    self._reconciles()
                    self._heal()
                self._check()
        finally:
            self.stack.close()

    def _rule(self, case: str, decides: str, outcome: str, to: str | None = None) -> Told:
        """A reviewer rules on a case; it is applied there, or to its correction. On an appeal another one overrules."""
        how: dict[str, Any] = {}
        if to is not None or self.sim.status(case).regions["dispute"] == "appealed":
            how = {"by": "reviewer-2", "overrules": self.appealed.get(case)}
        shared = self._shared(case, outcome) if decides == "liability" else {}
        ruling = self.sim.ruling(case, decides, outcome, **how, **shared)
        told = self._say(to or case, "apply_ruling", ApplyRuling(ruling_id=ruling))
        if told.refusal is None and decides == "liability" and not how:
            self.ruled[case] = ruling
        return told

    def _shared(self, case: str, outcome: str) -> dict[str, Any]:
        """Now and then somebody else is liable too, for another line or for more of the same."""
        random = self.sim.random
        if random.randrange(3):
            return {}
        other = random.choice([one for one in LIABLE if one != outcome])
        lines = [line.line_id for line in self.sim.opened[case].lines]
        first, more = (
            LineFinding(line_id=line, finding=Finding.DAMAGE, quantity=1, severity=random.choice(SEVERITIES))
            for line in (lines[0], lines[-1])
        )
        TALLY["shared rulings"] += 1
        return {"findings": (first,), "shares": (LiabilityShare(liable=Liable(other), findings=(more,)),)}

    def _say(self, case: str, update: str, body: Any, *, later: bool = False) -> Told:
        told = self.sim.say(case, update, body, later=later)
        self.sim.work()
        code = told.refusal
        if code is not None and not self.sim.server.runs[case].closed:
            assert code in CODES, f"{update} was refused with {code}"
        return told

    # ---- the end ---------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        sim = self.sim
        sim.weather.percent = sim.worker_dies = sim.post_loses = 0
        for kind in KINDS:
            few = 2 if kind == ":collect." else 6
            silent = kind in {"refund", ":collect."} and not sim.random.randrange(few)  # until people end what it began
            sim.server.do(sim.outside.script("psp", kind, state="pending" if silent else "succeeded"))
        sim.server.do(sim.outside.script("insurer", "loss", decision="approve"))
        if self.fault == "carrier" and sim.random.randrange(2):
            nothing = {"match": "POST /v1/set_offs", "kind": "unavailable_before"}
            sim.server.do(sim.outside.faults("courier", nothing))
        psp = sim.parties["psp"]
        for row in psp.book.all("SELECT payer FROM payers WHERE state = 'short'"):
            sim.server.do(sim.outside.control("psp", "payers", {"payer": row["payer"], "state": "funded"}))
        for row in psp.book.all("SELECT id, key, kind FROM transfers WHERE state = 'pending'"):
            if row["key"] not in self.given_up and not (row["kind"] == "refund" and self._never_says(row["key"])):
                psp._settle(row["id"], "succeeded", None)
        for row in psp.book.all("SELECT id, key FROM charges WHERE state = 'pending'"):
            if row["key"] not in self.given_up and not self._never_says(row["key"]):
                self._charge_ends(row["id"], "succeeded")
        tries: Counter[str] = Counter()
        for _ in range(MAX_HEALING):
            sim.work()
            self.nobody_waits_in_silence()
            helped = [self._help(run.id, tries) for run in list(sim.server.runs.values()) if not run.closed]
            if any(helped):
                continue
            if not sim.jump():
                break
        left = [run.id for run in sim.server.runs.values() if not run.closed]
        assert not left, f"never closed: {[(one, self._why(one)) for one in left]}"

    def _never_says(self, key: str) -> bool:
        """Of some payments the provider does not say what became before people end them."""
        silent = not self.sim.random.randrange(3)
        if silent:
            self.given_up.add(key)
        return silent

    def _charge_ends(self, charge: str, state: str) -> None:
        ending = {"state": state, "code": None if state == "succeeded" else "channel_closed", "collects": None}
        self.sim.parties["psp"]._charge_later(charge, ending)

    def _give_up(self, run: Run, case: str) -> bool:
        """A second person ends what this workflow is parked over. What it was, the provider never carries out."""
        sim, ended = self.sim, False
        for effect in self._open_effects(case):
            approval = sim.approval(case, effect.key, effect.amount_minor, effect.payee)
            told = sim.say(run.id, "skip_step", SkipStep(step=effect.key, approval_id=approval))
            sim.server.settle()
            if told.refusal is None and sim.server.do(self._was_given_up(effect.key)):
                ended = True
                self._never_happens(effect.key)
                TALLY[f"given up: {effect.kind}"] += 1
            sim.work()
        return ended

    async def _was_given_up(self, key: str) -> bool:
        async with self.sim.store.read() as session:
            row = await effects.get(session, key)
        return row is not None and row.code == effects.GIVEN_UP

    def _open_effects(self, case: str) -> Sequence[EffectRow]:
        async def read() -> Sequence[EffectRow]:
            request = self.sim.opened[case]
            mine = select(EffectRow).where(
                EffectRow.case_key == _id(request).key,
                col(EffectRow.kind).in_(ENDED_BY_PEOPLE),
                col(EffectRow.state).not_in(("succeeded", "failed")),
            )
            async with self.sim.store.read() as session:
                return (await session.exec(mine.order_by(col(EffectRow.key)))).all()

        found: Sequence[EffectRow] = self.sim.server.do(read())
        return found

    def _never_happens(self, key: str) -> None:
        """The provider ends it at some time, as failed, or says nothing for ever."""
        psp, fails = self.sim.parties["psp"], self.sim.random.randrange(2)
        self.given_up.add(key)
        for row in psp.book.all("SELECT id, code FROM transfers WHERE key = ? AND state = 'pending'", key):
            psp.book.unplan("settle", row["id"])
            if fails or row["code"] == "insufficient_balance":  # else it is paid when the account has money
                psp._settle(row["id"], "failed", "channel_closed")
        for row in psp.book.all("SELECT id FROM charges WHERE key = ? AND state = 'pending'", key):
            psp.book.unplan("charge", row["id"])
            if fails:
                self._charge_ends(row["id"], "failed")

    def _case_of(self, run: Run) -> str | None:
        """The case that a workflow is, or is about."""
        for case in self.cases:
            name = case.removeprefix("return:")
            about = (f"correction:{name}:", f"recovery:{name.replace(':', '.')}.")
            if run.id == case or run.id.startswith(about):
                return case
        return None

    def _appeal_again(self) -> bool:
        """Now and then a side appeals against the ruling of a case that is closed. Did one?"""
        some = [case for case in self.ruled if self.sim.random.randrange(2)]
        for case in some:
            self._appeal(case, Party.CONSUMER)
        return bool(some)

    def _appeal(self, case: str, by: Party) -> None:
        said = self.sim.appeals(case, self.ruled[case], by)
        TALLY[f"appeal: {said}"] += 1
        if said in {"lodged", "correction"}:
            self.appealed[case] = self.ruled[case]

    def _why(self, workflow_id: str) -> str:
        run, refused = self.sim.server.runs[workflow_id], self.refusals.get(workflow_id)
        if run.kind != WorkflowType.RETURN_CASE.value:
            return f"{refused} {run.attributes}"
        return f"{refused} {self.sim.status(workflow_id).attention or self.sim.status(workflow_id).waiting}"

    def _help(self, workflow_id: str, tries: Counter[str]) -> bool:
        """Do for a parked workflow what its attention asks for. False: it is not parked, or nothing helps any more."""
        sim = self.sim
        run = sim.server.runs[workflow_id]
        reason = run.attributes.get("ReturnAttention")
        if workflow_id in sim.opened:  # while its dispute waits, the case itself has no attention
            attention = sim.status(workflow_id).attention
            reason = attention.reason if attention is not None else None
        elif run.kind == WorkflowType.CORRECTION.value:
            said: CorrectionStatus = sim.server.query(workflow_id, "status", CorrectionStatus)
            reason = said.attention.reason if said.attention is not None else None
        if reason is None or run.kind == WorkflowType.DISPUTE.value:
            return False  # who rules on a dispute does so through its case
        assert reason not in OURS, f"{workflow_id} parked: {reason}: {self._why(workflow_id)}"
        case = self._case_of(run)
        if case is not None and reason == "pending":
            if self._give_up(run, case):
                return True
            if self._open_effects(case):
                return False  # another workflow's, which this one waits for
        tries[f"{workflow_id} {reason}"] += 1
        turn = tries[f"{workflow_id} {reason}"]
        if turn > 1 and case is not None and reason != "payer_short" and self._give_up(run, case):
            return True
        if turn > 12:
            return False
        if reason in {"ruling_needed", "arbitration_needed"}:
            return self._ruled_on(workflow_id, str(reason))
        if reason == "uncollectable" and turn > 4:
            return self._written_off(workflow_id)
        if reason == "given_up":
            return self._after_given_up(workflow_id, turn)
        for update, body in self._answers(workflow_id, str(reason), turn):
            told = sim.say(workflow_id, update, body)
            sim.work()
            if told.refusal is None:
                return True
            self.refusals[workflow_id] = f"{update}: {told.refusal}"
        return False

    def _ruled_on(self, workflow_id: str, reason: str) -> bool:
        """A reviewer decides what the case, or its correction, waits for."""
        outcomes = LIABLE if reason == "ruling_needed" else ("authorize", "uphold")
        outcome = outcomes[self.sim.random.randrange(len(outcomes))]
        decides = "liability" if reason == "ruling_needed" else "authorization"
        if workflow_id in self.sim.opened:
            told = self._rule(workflow_id, decides, outcome)
        else:
            case = self._case_of(self.sim.server.runs[workflow_id])
            assert case is not None, workflow_id
            told = self._rule(case, decides, outcome, to=workflow_id)
        if told.refusal is not None:
            self.refusals[workflow_id] = f"apply_ruling: {told.refusal}"
        return told.refusal is None

    def _written_off(self, recovery: str, outcome: str = "uncollectable") -> bool:
        """A reviewer lets go what no charge can collect of an account that takes none."""
        case = self._case_of(self.sim.server.runs[recovery])
        assert case is not None, recovery
        ruling = self.sim.ruling(case, "recovery", outcome)
        return self._say(recovery, "apply_ruling", ApplyRuling(ruling_id=ruling)).refusal is None

    def _after_given_up(self, recovery: str, turn: int) -> bool:
        """A reviewer lets the rest go, or waits for the provider's word on what was given up, which may have come."""
        if turn > 2 or self.sim.random.randrange(2):
            return self._written_off(recovery)
        case = self._case_of(self.sim.server.runs[recovery])
        mine = f"{'' if case is None else case.removeprefix('return:')}:%"
        psp, state = self.sim.parties["psp"], ("succeeded", "failed")[self.sim.random.randrange(2)]
        for row in psp.book.all("SELECT id FROM charges WHERE key LIKE ? AND state = 'pending'", mine):
            self._charge_ends(row["id"], state)
        return self._written_off(recovery, "owed")

    def _answers(self, workflow_id: str, reason: str, turn: int) -> Sequence[tuple[str, Any]]:
        sim = self.sim
        retry, skip = ("retry_step", RetryStep()), ("skip_step", SkipStep(provider_proof=True))
        close = ("close_case", CloseCase(reason="given up"))
        if workflow_id not in sim.opened:
            return (retry, skip, close) if turn <= 4 else (skip, close, retry)
        if reason == "approval_required":
            return self._approval(workflow_id, turn)
        return (retry, skip, close) if turn <= 4 else (skip, close, retry)

    def _approval(self, workflow_id: str, turn: int) -> Sequence[tuple[str, Any]]:
        sim = self.sim
        request = sim.opened[workflow_id]

        async def open_claims() -> list[tuple[str, int, str]]:
            async with sim.store.read() as session:
                rows = await claims.of_case(session, f"{request.merchant_id}/{request.rma_id}")
            return [
                (row.claim_ref, row.approved_minor or row.reserved_minor, row.payee)
                for row in rows
                if row.kind == "loss"
            ]

        answers = []
        for ref, amount, payee in sim.server.do(open_claims()):
            subject = payment_key(_id(request), f"advance.{ref}", (turn + 2) // 3)
            approval = sim.approval(workflow_id, subject, amount, payee)
            answers.append(("apply_approval", ApplyApproval(approval_id=approval)))
        return answers

    def _check(self) -> None:
        sim = self.sim
        for case in self.cases:
            TALLY[sim.outcome(case).outcome] += 1
        TALLY["sequences"] += 1
        broken = violations(sim)
        assert not broken, "\n".join(broken)
        wrong = differences(sim)
        assert not wrong, "\n".join(wrong)
        twice = paid_twice(sim)
        assert not twice, "\n".join(twice)
        alone = list(left_alone(sim, self.cases))
        assert not alone, "\n".join(alone)
        for run in sim.server.runs.values():
            sim.server.replayed(run)


def _id(request: OpenReturn) -> CaseId:
    return CaseId(request.merchant_id, request.rma_id)
