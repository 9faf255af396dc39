"""The same facts under other books: procedure follows the book at the request (invariant 16)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from backhaul.errors import Refusal
from backhaul.facts import Reason, RemedyKind, Verdict
from backhaul.messages import AnswerInfo, ApplyRuling, Decline, RequestInfo
from store import cases
from tests.workflows.conftest import skipping_world
from tests.workflows.scenarios.telling import templates, told
from tests.workflows.world import COAT, Case, Plan, World, cny

MONEY = Plan(remedy=RemedyKind.REFUND_ONLY)


async def decided(case: Case, decision: str) -> Verdict:
    """The verdict of one decision, as `explain` tells it."""
    told = await case.world.backhaul.explain(case.request.merchant_id, case.request.rma_id)
    return next(verdict for verdict in told.decisions if verdict.decision == decision)


async def refused_money(world: World) -> Case:
    case = await world.open(MONEY)
    assert case.first.outcome == "merchant_review"
    await case.asked("merchant_review")
    await case.say("decline", Decline(reason="not_defective"))
    return case


async def test_before_may_2025_the_platform_may_force_a_refund_without_return(tmp_path: Path) -> None:
    """X29: the merchant's refusal goes to the platform by itself; its ruling refunds."""
    async with skipping_world(tmp_path, book="2024-09") as world:
        case = await refused_money(world)
        verdict = await decided(case, "refund_only")
        assert (verdict.outcome, verdict.reasons, verdict.rules) == ("platform", ("platform_may_force",), ("X29",))
        assert verdict.book.version == "2024-09"
        assert verdict.text.en == "The platform may grant a refund without return."
        assert verdict.text.zh == "平台可直接支持仅退款。"
        attention = (await case.parks("arbitration_needed")).attention
        assert attention is not None
        assert "the merchant refused" in attention.headline
        ruling = await world.rule(case, "authorization", "authorize")
        await case.say("apply_ruling", ApplyRuling(ruling_id=ruling))
        outcome = await case.ended()
        assert (outcome.outcome, outcome.refunded) == ("refunded", cny(COAT))
        assert templates(await case.entries()) == {"J23": COAT, "J21": COAT}


async def test_since_may_2025_the_refusal_is_final(tmp_path: Path) -> None:
    async with skipping_world(tmp_path, book="2025-05") as world:
        case = await refused_money(world)
        outcome = await case.ended()
        assert (outcome.outcome, outcome.refunded) == ("declined", cny(0))
        verdict = await decided_after(world, case)
        assert (verdict.outcome, verdict.reasons, verdict.rules) == ("merchant", ("merchant_decides",), ("X29",))
        assert verdict.book.version == "2025-05"
        assert verdict.text.en == "The merchant decides on a refund without return."


async def decided_after(world: World, case: Case) -> Verdict:
    """The same from the database, which answers when the case is closed."""
    async with world.store.read() as session:
        kept = await cases.explanation(session, f"{case.request.merchant_id}/{case.request.rma_id}")
    return next(verdict for verdict in kept.decisions if verdict.decision == "refund_only")


STRICT = """
version = "strict"
title = "Photos with every quality request; opened again once at most"
extends = "2025-05"

[authorization]
evidence_reasons = ["quality"]
max_reopens = 1
"""


@pytest.fixture
def strict(tmp_path: Path) -> Path:
    file = tmp_path / "strict.toml"
    file.write_text(STRICT)
    return file


async def test_the_rules_ask_for_evidence(tmp_path: Path, strict: Path) -> None:
    """X2: by a book that wants it, the consumer is asked at once; then the merchant looks, and may ask too."""
    async with skipping_world(tmp_path, book="strict", books=strict) as world:
        case = await world.open(Plan(reason=Reason.QUALITY))
        assert (case.first.outcome, case.first.reasons) == ("info_requested", ("evidence_needed",))
        waiting = await case.asked("info_answer")
        assert waiting.told is not None
        assert waiting.due == waiting.told + timedelta(hours=72)
        await case.say("answer_info", AnswerInfo(note="photo attached"))
        await case.asked("merchant_review")
        await case.say("request_info", RequestInfo(question="serial_number"))
        await case.asked("info_answer")
        await case.say("answer_info", AnswerInfo(note="A-17"))
        await case.asked("merchant_review")
        assert [about for _, about in await told(case)] == ["info_request", "info_answered"] * 2


async def test_opened_again_as_often_as_the_book_allows(tmp_path: Path, strict: Path) -> None:
    """X2: the whole chain counts."""
    async with skipping_world(tmp_path, book="strict", books=strict) as world:
        plan = Plan(reason=Reason.QUALITY, signed_days_ago=0.5)
        first = await _expires(world, await world.open(plan))
        order = world.order_of(first)
        again = await world.open(replace(plan, reopens=first.request.rma_id), order=order)
        again = await _expires(world, again)
        with pytest.raises(Refusal) as refusal:
            await world.open(replace(plan, reopens=again.request.rma_id), order=order)
        assert refusal.value.code == "reopen_limit"


async def _expires(world: World, case: Case) -> Case:
    waiting = await case.asked("info_answer")
    await world.until(waiting.due + timedelta(minutes=1))
    assert (await case.ended()).outcome == "expired"
    return case
