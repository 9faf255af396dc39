"""Why a case is parked: every attention reason, what it means, and the one update that frees it.

The reason is the value of the search attribute `ReturnAttention`; docs/runbooks has one page for each.
"""

from __future__ import annotations

from typing import NamedTuple

RETRY = "retry_step {}"
RULING = 'apply_ruling {"ruling_id": "<id>"}'
APPROVAL = 'apply_approval {"approval_id": "<id>"}'
CLOSE = 'close_case {"reason": "<why>"}'
SKIP_PROVEN = 'skip_step {"provider_proof": true}'


class Attention(NamedTuple):
    """One reason: what happened, and the update that usually frees the case."""

    meaning: str
    send: str


REASONS: dict[str, Attention] = {
    # money with a provider
    "account_abnormal": Attention("The payee's account does not take money.", SKIP_PROVEN),
    "channel_closed": Attention("The payment channel closed the attempt for good.", SKIP_PROVEN),
    "insufficient_balance": Attention("The payer's account at the provider is short: fund it, then try again.", RETRY),
    "payer_short": Attention(
        "The account that refunds are paid from is short: fund it; the same key is then paid.", RETRY
    ),
    "exceeds_capture": Attention("The refund exceeds what is left of the original payment.", SKIP_PROVEN),
    "pending": Attention("The provider has it and has not decided within all look-ups.", RETRY),
    "provider_unknown": Attention("It is not known whether the money moved; every look-up stayed open.", RETRY),
    "provider_unavailable": Attention("The provider took no request within all attempts.", RETRY),
    "provider_rate_limited": Attention("The provider kept asking to slow down.", RETRY),
    "provider_malformed": Attention("The provider's answers do not fit the contract.", RETRY),
    "provider_rejected": Attention("The provider refused, with its own code in the headline.", RETRY),
    "claim_denied": Attention("The insurer denied the claim; its reserve is released.", SKIP_PROVEN),
    "claim_contested": Attention("The carrier contests the demand: a human rules whether it owes it.", RULING),
    "uncollectable": Attention("What the consumer owes could not be collected: try again, or rule.", RULING),
    "given_up": Attention(
        "A charge or set-off was given up without the provider's word and may still succeed: a human rules.", RULING
    ),
    "insurer_late": Attention("The insurer has not decided, or not paid, within its time.", RETRY),
    "late_scan": Attention("The courier has the goods of a case that ended; press once they are dealt with.", RETRY),
    "funding_refused": Attention("The insurer refuses to pay the platform; the merchant has the money.", RETRY),
    "no_answer": Attention("No answer came in time.", RETRY),
    "notice_undelivered": Attention("A notice reached nobody; going on without it says that they know.", RETRY),
    # a human decides
    "approval_required": Attention("The amount is above the authority limit: a second person approves.", APPROVAL),
    "ruling_needed": Attention("The facts contradict each other or are disputed: a human rules on liability.", RULING),
    "arbitration_needed": Attention("A refusal was escalated, or the rules refer the request to a human.", RULING),
    "courier_refused": Attention("The courier refuses the goods; going on asks the consumer to send them.", RETRY),
    "cancel_requested": Attention(
        "Somebody asked to cancel after the courier had the goods; going on ignores it.", RETRY
    ),
    # a sign: the story goes on
    "too_many_messages": Attention(
        "A door of the case is full and refuses more; the case goes on. Press once you have looked who sends so much.",
        RETRY,
    ),
    # our own side
    "reconciliation_difference": Attention(
        "The books, or a provider's statement, are not as an invariant says; retrying looks again.", RETRY
    ),
    "invariant_broken": Attention("An invariant does not hold; nothing was written.", RETRY),
    "effect_conflict": Attention("The payment key was used before for another amount, payee or purpose.", RETRY),
    "entry_conflict": Attention("The journal entry was posted before with other lines.", RETRY),
    "unbalanced": Attention("An entry does not balance; nothing was written.", RETRY),
    "over_refund": Attention("More would be refunded than was paid; nothing was written.", RETRY),
    "over_indemnity": Attention("More would be indemnified than was lost or is insured.", RETRY),
    "unknown_book": Attention("The policy book of the case is not loaded in this worker.", RETRY),
    "store_busy": Attention("The database stayed busy.", RETRY),
    "step_failed": Attention("A step failed in a way that has no code of its own; its last failure says more.", RETRY),
}
"""A code that is not here parks the case as `step_failed`, with the code in the headline."""

SIGNS = frozenset({"too_many_messages"})
"""With these an operator is to look, and nothing is stuck."""


def reason_of(code: str) -> str:
    """The attention reason for an error code: itself, where it has a page."""
    return code if code in REASONS else "step_failed"
