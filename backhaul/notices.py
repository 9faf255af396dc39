"""Notices: what each party is told, in which words, and which path of domain 5 it belongs to.

A deadline that acts on somebody's silence starts when they were told (domain 6). Words are the same for everybody:
who the recipient is, and how they are reached, only who delivers the notice knows.
"""

from __future__ import annotations

from typing import NamedTuple

from backhaul.facts import Party, Text


class Notice(NamedTuple):
    """One notice: to whom, on which path, what it says."""

    to: Party
    path: str
    text: Text


def _n(to: Party, path: str, en: str, zh: str) -> Notice:
    return Notice(to, path, Text(en=en, zh=zh))


NOTICES: dict[str, Notice] = {
    # the request
    "review_request": _n(
        Party.MERCHANT,
        "X1",
        "A return asks for your decision; without one it is authorised.",
        "有退货申请待您处理，逾期将自动同意。",
    ),
    "review_reminder": _n(
        Party.MERCHANT,
        "X1",
        "The return still asks for your decision; without one it is authorised.",
        "退货申请仍待您处理，逾期将自动同意。",
    ),
    "info_answered": _n(
        Party.MERCHANT,
        "X2",
        "Your question about the return was answered; without a decision it is authorised.",
        "消费者已补充退货信息，请处理；逾期将自动同意。",
    ),
    "info_request": _n(
        Party.CONSUMER,
        "X2",
        "More is asked about your return; without an answer it expires.",
        "您的退货申请需补充信息，逾期将自动关闭。",
    ),
    "request_refused": _n(
        Party.CONSUMER,
        "X13",
        "Your return was refused; you may ask the platform to look at it.",
        "商家拒绝了您的退货申请，您可以申请平台介入。",
    ),
    # without a return
    "refund_only_request": _n(
        Party.MERCHANT,
        "X29",
        "A refund without return asks for your decision; without one it is granted.",
        "有仅退款申请待您处理，逾期将自动同意。",
    ),
    "refund_only_refused": _n(
        Party.CONSUMER,
        "X29",
        "The merchant refused a refund without return; you may still return the goods.",
        "商家拒绝了仅退款申请，您仍可申请退货退款。",
    ),
    "offer": _n(
        Party.CONSUMER,
        "X30",
        "You may keep the goods and get a part of the price back; without an answer the return goes on.",
        "您可保留商品并获得部分退款；未答复则继续退货。",
    ),
    # collecting
    "waybill_needed": _n(
        Party.CONSUMER,
        "X3",
        "Send the parcel and give its waybill; without it the return expires.",
        "请寄回商品并填写运单号，逾期退货将自动关闭。",
    ),
    "finding_found": _n(
        Party.CONSUMER,
        "X7",
        "The check at the door found something; without an answer the finding stands.",
        "上门验货发现问题，逾期未答复将以验货结果为准。",
    ),
    "finding_travels": _n(
        Party.CONSUMER,
        "X7",
        "The goods could not be brought back: accept the finding or dispute it; without an answer it stands.",
        "商品已无法退回给您，请确认或申诉验货结果，逾期未答复将以验货结果为准。",
    ),
    # receiving
    "goods_delivered": _n(
        Party.MERCHANT,
        "X11",
        "Returned goods were delivered to you: confirm them, or object with evidence.",
        "退货商品已送达，请确认收货；如有异议请举证。",
    ),
    # disputes
    "evidence_consumer": _n(
        Party.CONSUMER,
        "X14",
        "A dispute is open: send your evidence; the ruling goes by what is there.",
        "纠纷处理中，请提交举证，逾期将依现有证据判定。",
    ),
    "evidence_merchant": _n(
        Party.MERCHANT,
        "X14",
        "A dispute is open: send your evidence; the ruling goes by what is there.",
        "纠纷处理中，请提交举证，逾期将依现有证据判定。",
    ),
    "ruled_consumer": _n(
        Party.CONSUMER, "X15", "The dispute is ruled; you may appeal once.", "纠纷已判定，您可申诉一次。"
    ),
    "ruled_merchant": _n(
        Party.MERCHANT, "X15", "The dispute is ruled; you may appeal once.", "纠纷已判定，您可申诉一次。"
    ),
    "ruled_final_consumer": _n(
        Party.CONSUMER, "X15", "The dispute is ruled; this ruling is final.", "纠纷已判定，本次判定为最终结果。"
    ),
    "ruled_final_merchant": _n(
        Party.MERCHANT, "X15", "The dispute is ruled; this ruling is final.", "纠纷已判定，本次判定为最终结果。"
    ),
    # money
    "account_needed": _n(
        Party.CONSUMER,
        "X19",
        "Your refund did not go through: name another account.",
        "退款未成功，请提供其他收款账户。",
    ),
    "refund_unclaimed": _n(
        Party.CONSUMER, "X20", "Your refund waits for you: name an account.", "您的退款待领取，请提供收款账户。"
    ),
    "clawback": _n(
        Party.CONSUMER,
        "X26",
        "A refund that you were advanced is demanded back.",
        "此前先行垫付的退款现需退回。",
    ),
    "receivable_due": _n(Party.CONSUMER, "X28", "An amount is owed and will be collected.", "您有一笔应付款项待扣收。"),
    "shortfall": _n(Party.MERCHANT, "X22", "Your settlement is short: top it up.", "您的结算账户余额不足，请补足。"),
}
"""Every notice by its word. A test proves that workflows use no other."""
