"""What the entries on a merchant's account (P2000) mean to the merchant, in both languages."""

from __future__ import annotations

from backhaul.facts import Text

MEANINGS: dict[str, Text] = {
    "J01": Text(en="Sale, less commission", zh="订单收入(已扣佣金)"),
    "J02": Text(en="Return insurance premium", zh="退货运费险保费"),
    "J14": Text(en="Return freight above the cover", zh="超出保额的退货运费"),
    "J16": Text(en="Return freight paid by the consumer, borne by you", zh="买家垫付、由商家承担的退货运费"),
    "J22": Text(en="Refund of a return, less commission", zh="退货退款(已退佣金)"),
    "J23": Text(en="Refund of a return, less commission", zh="退货退款(已退佣金)"),
    "J31": Text(en="Indemnity for goods damaged or lost", zh="货损赔付(逆向保价)"),
    "J34": Text(en="Indemnity paid out in advance", zh="赔付垫款已打款"),
    "J70": Text(en="Settlement paid out", zh="结算打款"),
    "J71": Text(en="Shortfall, owed from now on", zh="结算差额转应收"),
    "J75": Text(en="Indemnity taken back after a ruling", zh="改判追回赔付"),
    "J75b": Text(en="Indemnity taken back after a ruling", zh="改判追回赔付"),
    "J76": Text(en="Earlier shortfall netted", zh="抵扣此前差额"),
    "J82": Text(en="Partial refund without a return", zh="仅退款或补偿退款"),
}
"""Every template with a line on P2000; a test keeps it whole."""


def meaning(template: str, *, reversed_: bool = False) -> Text:
    """The words for a line. A reversal says what it takes back."""
    words = MEANINGS.get(template, Text(en=template, zh=template))
    if not reversed_:
        return words
    return Text(en=f"Taken back: {words.en[0].lower()}{words.en[1:]}", zh=f"冲正:{words.zh}")
