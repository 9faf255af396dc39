"""Regions, transitions, allowed actions (domain 3)."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from backhaul.case import (
    ACCEPTED_AT_CLOSE,
    INITIAL,
    TRANSITIONS,
    IllegalTransition,
    Region,
    Regions,
    Situation,
    Stage,
    allowed_actions,
    refusal,
    stage_of,
)
from backhaul.errors import CODES
from backhaul.names import ROLE_OF, Update

COURIER = (Update.REPORT_PICKUP, Update.REPORT_TRACKING)


def walked(**states: str) -> Regions:
    """Regions with some of them put somewhere, for a situation of interest."""
    regions = Regions()
    regions._now.update({Region(name): state for name, state in states.items()})
    return regions


def test_every_state_of_the_table_can_be_reached_from_the_start() -> None:
    for region, table in TRANSITIONS.items():
        seen, front = {INITIAL[region]}, [INITIAL[region]]
        while front:
            for state in table.get(front.pop(), ()):
                if state not in seen:
                    seen.add(state)
                    front.append(state)
        named = set(table) | {state for targets in table.values() for state in targets}
        assert named == seen, region
        assert ACCEPTED_AT_CLOSE[region] <= seen | {"none"}, region


def test_a_step_off_the_table_is_a_bug() -> None:
    regions = Regions()
    with pytest.raises(IllegalTransition, match="unbooked -> delivered"):
        regions.to(Region.LOGISTICS, "delivered")
    assert regions[Region.LOGISTICS] == "unbooked"


def test_open_regions_forbid_the_close_and_lost_goods_need_no_inspection() -> None:
    assert "logistics=unbooked" in Regions().open_at_close()
    done = walked(
        authorization="authorized", logistics="receipt_confirmed", inspection="receipt_pass", refund="succeeded"
    )
    assert done.open_at_close() == ()
    under_way = walked(
        authorization="authorized", logistics="receipt_confirmed", inspection="receipt_pass", refund="due"
    )
    assert under_way.open_at_close() == ("refund=due",)
    lost = walked(authorization="authorized", logistics="lost", inspection="doorstep_pass", refund="succeeded")
    assert lost.open_at_close() == ()


@pytest.mark.parametrize(
    ("states", "stage"),
    [
        ({}, Stage.AUTHORIZING),
        ({"authorization": "authorized"}, Stage.PICKUP),
        ({"authorization": "authorized", "logistics": "in_transit"}, Stage.TRANSIT),
        ({"authorization": "authorized", "logistics": "delivered"}, Stage.RECEIPT),
        ({"authorization": "authorized", "logistics": "delivered", "dispute": "open"}, Stage.DISPUTE),
        ({"authorization": "authorized", "logistics": "receipt_confirmed", "refund": "submitted"}, Stage.REFUNDING),
        ({"authorization": "authorized", "logistics": "receipt_confirmed", "refund": "succeeded"}, Stage.CLOSING),
        ({"authorization": "withdrawn"}, Stage.CLOSING),
    ],
)
def test_stage(states: dict[str, str], stage: Stage) -> None:
    assert stage_of(walked(**states), closed=False) is stage
    assert stage_of(walked(**states), closed=True) is Stage.CLOSED


REFUSALS: list[tuple[Update, Situation, str | None]] = [
    (Update.WITHDRAW, Situation(walked(authorization="authorized", logistics="booked")), None),
    (Update.WITHDRAW, Situation(walked(authorization="authorized", logistics="picked_up")), "already_picked_up"),
    (Update.WITHDRAW, Situation(walked(authorization="authorized"), withdrawing=True), "already_decided"),
    (Update.AUTHORIZE, Situation(Regions(), waiting_for="merchant_review"), None),
    (Update.AUTHORIZE, Situation(walked(authorization="authorized")), "already_decided"),
    (Update.DECLINE, Situation(Regions(), waiting_for="merchant_review", may_decline=False), "statutory_return"),
    *(
        (update, now, code)
        for update in (Update.CONFIRM_RECEIPT, Update.REPORT_RECEIPT_ISSUE)
        for now, code in (
            (Situation(Regions()), "not_delivered"),
            (Situation(walked(logistics="booked"), waiting_for="pickup"), "not_delivered"),
            (Situation(walked(logistics="missed")), "not_delivered"),
            (Situation(walked(logistics="picked_up"), waiting_for="finding_answer"), None),
            (Situation(walked(logistics="in_transit"), waiting_for="delivery"), None),
            (Situation(walked(logistics="delivered"), waiting_for="receipt"), None),
            (Situation(walked(logistics="delivered")), "already_decided"),
            (Situation(walked(logistics="receipt_confirmed")), "already_decided"),
            (Situation(walked(logistics="lost")), "already_decided"),
            (Situation(walked(logistics="returned_to_consumer")), "not_delivered"),
        )
    ),
    (Update.PROVIDE_WAYBILL, Situation(Regions(), waiting_for="pickup"), "not_self_ship"),
    (Update.PROVIDE_WAYBILL, Situation(Regions(), self_ship=True, waiting_for="waybill"), None),
    (Update.ANSWER_FINDING, Situation(Regions(), waiting_for="delivery"), "no_finding"),
    (Update.ANSWER_OFFER, Situation(Regions()), "no_offer"),
    (Update.ANSWER_OFFER, Situation(walked(authorization="authorized"), waiting_for="offer"), None),
    (Update.REQUEST_INFO, Situation(Regions(), waiting_for="merchant_review"), None),
    (Update.REQUEST_INFO, Situation(Regions(), waiting_for="merchant_review", info_requested=True), "already_asked"),
    (Update.REQUEST_INFO, Situation(walked(authorization="authorized")), "already_decided"),
    (Update.AUTHORIZE, Situation(walked(authorization="info_requested"), waiting_for="info_answer"), "not_waiting"),
    (Update.ANSWER_INFO, Situation(walked(authorization="info_requested"), waiting_for="info_answer"), None),
    (Update.ANSWER_INFO, Situation(Regions(), waiting_for="merchant_review"), "not_waiting"),
    (Update.WITHDRAW, Situation(walked(authorization="authorized", logistics="not_required")), "already_decided"),
    (Update.RETRY_STEP, Situation(Regions()), "not_parked"),
    (Update.RETRY_STEP, Situation(Regions(), parked=frozenset({"pending"}), parked_effect=True), None),
    (Update.RETRY_STEP, Situation(Regions(), closed=True), "return_closed"),
    (Update.RETRY_STEP, Situation(Regions(), closed=True, parked=frozenset({"x"}), parked_effect=True), None),
    (Update.SKIP_STEP, Situation(Regions(), closed=True, parked=frozenset({"x"}), parked_effect=True), "return_closed"),
    (Update.APPLY_RULING, Situation(Regions(), parked=frozenset({"pending"})), "not_waiting"),
    (Update.APPLY_RULING, Situation(Regions(), parked=frozenset({"ruling_needed"})), "not_waiting"),
    (Update.APPLY_RULING, Situation(Regions(), ruling_wanted=True), None),
    (Update.APPEAL, Situation(walked(dispute="ruled")), None),
    (Update.APPEAL, Situation(walked(dispute="final"), closed=True), "return_closed"),
    (Update.CLOSE_CASE, Situation(Regions(), parked=frozenset({"pending"}), money_under_way=True), "money_under_way"),
    (Update.CLOSE_CASE, Situation(Regions(), parked=frozenset({"too_many_messages"})), "not_parked"),
    (Update.RETRY_STEP, Situation(Regions(), parked=frozenset({"too_many_messages"}), parked_effect=True), None),
    (Update.CLOSE_CASE, Situation(walked(authorization="authorized", logistics="booked")), "not_parked"),
    (Update.CLOSE_CASE, Situation(walked(logistics="courier_rejected"), parked=frozenset({"courier_refused"})), None),
    *(
        (Update.CLOSE_CASE, Situation(walked(logistics=logistics), parked=frozenset({"pending"})), "already_picked_up")
        for logistics in ("picked_up", "in_transit", "delivered", "receipt_confirmed", "lost", "returned_to_consumer")
    ),
    (Update.EXTEND_DEADLINE, Situation(Regions()), "not_waiting"),
]


@pytest.mark.parametrize(("update", "now", "code"), REFUSALS, ids=[f"{u}-{c}" for u, _, c in REFUSALS])
def test_refusals(update: Update, now: Situation, code: str | None) -> None:
    assert refusal(update, now) == code


def test_courier_facts_are_never_refused_while_the_case_is_open() -> None:
    for states in ({}, {"logistics": "delivered"}, {"authorization": "declined"}, {"logistics": "lost"}):
        for update in COURIER:
            assert refusal(update, Situation(walked(**states))) is None
            assert refusal(update, Situation(walked(**states), closed=True)) == "return_closed"


class Walk(RuleBasedStateMachine):
    """Any sequence of legal moves: the stage exists, every update has an answer whose code is documented."""

    def __init__(self) -> None:
        super().__init__()
        self.regions = Regions()

    @rule(region=st.sampled_from(list(Region)), pick=st.integers(0, 20))
    def move(self, region: Region, pick: int) -> None:
        targets = sorted(TRANSITIONS[region].get(self.regions[region], ()))
        if targets:
            self.regions.to(region, targets[pick % len(targets)])

    @rule(region=st.sampled_from(list(Region)), state=st.sampled_from(["paid", "delivered", "nowhere", "final"]))
    def stray(self, region: Region, state: str) -> None:
        now = self.regions[region]
        if state != now and state not in TRANSITIONS[region].get(now, ()):
            with pytest.raises(IllegalTransition):
                self.regions.to(region, state)
            assert self.regions[region] == now

    @invariant()
    def told(self) -> None:
        views = allowed_actions(Situation(self.regions), CODES)
        assert {view.update for view in views} == {update.value for update in ROLE_OF}
        assert all(view.allowed == (view.code is None) for view in views)
        assert stage_of(self.regions, closed=False) in set(Stage)


TestWalk = Walk.TestCase
