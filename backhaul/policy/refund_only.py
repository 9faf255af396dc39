"""Refund without return: X29, the dated rule."""

from __future__ import annotations

from backhaul.facts import CaseFacts, Verdict
from backhaul.policy.book import PolicyBook
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import verdict


def refund_only(facts: CaseFacts, shipped: bool, received: bool, book: PolicyBook) -> Verdict:
    """`yes` (not shipped: at once), `platform` (the platform may grant it), `merchant` (decides in time) or `no`."""
    if not shipped:
        outcome, code = "yes", Code.NOT_SHIPPED
    elif not received:
        outcome, code = "no", Code.GOODS_UNDER_WAY
    elif book.refund_only.platform_may_force:
        outcome, code = "platform", Code.PLATFORM_MAY_FORCE
    else:
        outcome, code = "merchant", Code.MERCHANT_DECIDES
    return verdict("refund_only", outcome, [code], ["X29"], facts, book, shipped=shipped, received=received)
