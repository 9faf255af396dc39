"""Offers for keeping the goods (X30), the money alone (X29), and a merchant's questions (X2)."""

from __future__ import annotations

from sandbox.samples.build import Json, act, closed, confirm, line, order, returned, row


def rows() -> list[Json]:
    """All rows of this module."""
    return [*_offers(), *_money_alone(), *_questions()]


def _offers() -> list[Json]:
    """Linen Loft offers 15 % of the price, at most the freight (12.00 up to a kilogram) x 1.2."""
    accept = act("consumer", "answer_offer", {"answer": "accept"}, after="open", delay_ms=400)
    refuse = act("consumer", "answer_offer", {"answer": "refuse"}, after="open", delay_ms=400)
    rows = []
    for name, path, paid, acts, expect in (
        ("linen-kept", "offer_accepted", 20_000, [accept], closed("retained", refunded=1_440, freight=0)),
        ("linen-kept-too", "offer_accepted", 6_001, [accept], closed("retained", refunded=900, freight=0)),
        ("linen-back", "offer_refused", 15_000, [refuse, confirm()], closed(refunded=15_000)),
        ("linen-back-too", "offer_refused", 9_900, [refuse, confirm()], closed(refunded=9_900)),
        ("linen-silent", "offer_not_answered", 12_300, [confirm()], closed(refunded=12_300)),
        ("linen-silent-too", "offer_not_answered", 4_500, [confirm()], closed(refunded=4_500)),
    ):
        made = order(name, "linen-loft", line("linen", paid, grams=700), tier=1)
        rows.append(row(name, path, made, opened=returned(name, made), actors=acts, expect=expect))
    return rows


def _money_alone() -> list[Json]:
    """Not shipped: at once. Received: the merchant decides, and silence grants."""
    grant = act("merchant", "authorize", {"note": "keep it"}, after="open", delay_ms=300)
    decline = act("merchant", "decline", {"reason": "not_defective"}, after="open", delay_ms=300)
    rows = []
    for name, path, paid, signed, acts in (
        ("moon-unsent", "refund_only_not_shipped", 5_600, False, []),
        ("moon-unsent-too", "refund_only_not_shipped", 7_777, False, []),
        ("moon-torn", "refund_only_granted", 3_900, True, [grant]),
        ("moon-stained", "refund_only_granted", 4_100, True, [grant]),
        ("moon-unread", "refund_only_silence", 2_500, True, []),
        ("moon-unread-too", "refund_only_silence", 2_600, True, []),
        ("moon-fine", "refund_only_declined", 8_800, True, [decline]),
        ("moon-fine-too", "refund_only_declined", 9_900, True, [decline]),
    ):
        made = order(name, "paper-moon", line("book", paid), tier=2)
        if not signed:
            del made["signed_at"]
        opened = returned(name, made, reason="quality") | {"remedy": "refund_only"}
        expect = closed("declined") if path == "refund_only_declined" else closed(refunded=paid, freight=0)
        rows.append(row(name, path, made, opened=opened, actors=acts, expect=expect))
    return rows


def _questions() -> list[Json]:
    """Jade Studio asks first; an unanswered question lets the case expire."""
    asks = act("merchant", "request_info", {"question": "photos"}, after="open", delay_ms=300)
    answers = act("consumer", "answer_info", {"note": "photo sent"}, after="open", delay_ms=1_500)
    authorize = act("merchant", "authorize", {"note": "fine"}, after="open", delay_ms=4_000)
    rows = []
    for name, path, paid, acts in (
        ("ring-asked", "question_answered", 44_000, [asks, answers, authorize, confirm()]),
        ("ring-asked-too", "question_answered", 18_500, [asks, answers, authorize, confirm()]),
        ("ring-unanswered", "question_not_answered", 26_000, [asks]),
        ("ring-unanswered-too", "question_not_answered", 31_000, [asks]),
    ):
        made = order(name, "jade-studio", line("ring", paid, grams=80), tier=1)
        expect = closed(refunded=paid) if path == "question_answered" else closed("expired")
        rows.append(row(name, path, made, opened=returned(name, made, reason="quality"), actors=acts, expect=expect))
    return rows
