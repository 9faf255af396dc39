"""What follows for everybody's money, as a decision that explains itself. Rule 4.5."""

from __future__ import annotations

from backhaul.facts import CaseFacts, Verdict
from backhaul.policy.book import PolicyBook
from backhaul.policy.consequences import Consequences
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import verdict

DECISION = "remedy"


def remedy(facts: CaseFacts, result: Consequences, granted: bool, book: PolicyBook) -> Verdict:
    """`refunded`, `partly` or `none`, by what the consumer gets of the refund, or keeps of it after lightning
    (`granted`). `to_consumer` is before freight is taken off; `demanded` is what they owe of what they have."""
    advanced = result.merchant_charge + result.uncharged + result.pending
    to_consumer = advanced if granted else result.merchant_charge - result.withhold
    waived = result.uncharged.at_most(result.not_demanded)
    demanded = result.consumer_receivable + result.uncharged - waived
    codes = [
        code
        for code, holds in (
            (Code.NOTHING_TO_REFUND, not result.refund),
            (Code.REFUNDED_IN_FULL, bool(result.refund) and to_consumer == result.refund and not demanded),
            (Code.REFUND_WITHHELD, bool(result.withhold)),
            (Code.REFUND_REDUCED, to_consumer < result.refund if granted else bool(result.relieved)),
            (Code.CONSUMER_OWES, bool(demanded)),
            (Code.NOT_DEMANDED, bool(result.not_demanded)),
            (Code.MERCHANT_INDEMNIFIED, bool(result.indemnify)),
        )
        if holds
    ]
    kept = to_consumer - demanded
    return verdict(
        DECISION,
        "refunded" if kept and kept == result.refund else "partly" if kept else "none",
        codes,
        ["4.5.remedy"],
        facts,
        book,
        liable=result.liable.value,
        refund=result.refund,
        loss=result.loss,
        to_consumer=to_consumer,
        demanded=demanded,
        withheld=result.withhold,
        freight=result.freight_withheld,
        charged=result.merchant_charge,
        indemnity=result.indemnify,
    )
