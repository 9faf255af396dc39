"""Errors: four kinds, and one table of codes.

Only four kinds exist (architecture 3): `Rejected` (business no, never retried), `Transient` (try again),
`Unknown` (it may have happened: look it up by its key first) and bugs, which are none of these.
Callers branch on `code`, never on text.
"""

from __future__ import annotations


class BackhaulError(Exception):
    """Base of every coded error. `code` is one of CODES; `field` names the offending input, if any."""

    kind = "Error"

    def __init__(self, code: str, message: str = "", *, field: str | None = None, retry_after_s: float | None = None):
        if code not in CODES:
            raise KeyError(f"error code {code!r} is not in backhaul.errors.CODES")
        super().__init__(message or CODES[code])
        self.code = code
        self.message = message or CODES[code]
        self.field = field
        self.retry_after_s = retry_after_s


class Rejected(BackhaulError):
    """The other side, or a rule, said no. Doing the same again gives the same answer."""

    kind = "Rejected"


class Refusal(Rejected):
    """We say no to a caller: bad input, wrong role, or not now. Nothing was changed."""


class Transient(BackhaulError):
    """It did not happen and may work later."""

    kind = "Transient"


class Unknown(BackhaulError):
    """It may have happened. Look it up under the same key before anything else."""

    kind = "Unknown"


CODES: dict[str, str] = {
    # the caller's input
    "invalid_input": "The body does not fit its schema; the problem names each field.",
    "invalid_id": "An id has characters outside A-Z a-z 0-9 _ . - or is longer than 100.",
    "payload_too_large": "The body is larger than 256 KB.",
    "idempotency_key_required": "Opening a return needs the header Idempotency-Key.",
    "idempotency_mismatch": "This Idempotency-Key was used before with another body.",
    "unauthenticated": "The bearer token is missing or unknown.",
    "forbidden": "The token's role or merchant may not do this.",
    "not_found": "There is no such thing, or not for this token.",
    "unknown_update": "There is no update of this name.",
    "bad_signature": "The webhook's signature does not fit its bytes.",
    "unknown_sender": "Nobody by this name may send webhooks.",
    "event_conflict": "This event id was received before with another body.",
    # orders and cases
    "order_unknown": "The order was not imported; import it first, then open the return.",
    "order_conflict": "This order was imported before with other contents.",
    "line_unknown": "The order has no such line.",
    "currency_mismatch": "Amounts of one order must be in one currency.",
    "return_conflict": "This return was opened before with another body.",
    "return_closed": "The return is closed; the answer shows how it ended.",
    "return_open": "The return is not closed yet: what comes up is the case's own, and no correction.",
    "nothing_unclaimed": "No money of this return waits to be claimed.",
    "unknown_book": "The policy book named by (version, hash) is not loaded here.",
    # what a case cannot do now
    "already_picked_up": "The courier has scanned the goods: too late to withdraw the return, or to close it by hand.",
    "already_decided": "This was decided before.",
    "not_waiting": "The case does not wait for this now.",
    "reopen_unknown": "There is no case of this merchant that could be opened again.",
    "reopen_not_expired": "Only an expired case can be opened again, and each once.",
    "reopen_mismatch": "A case is opened again for the same order and for no more of each line.",
    "reopen_limit": "The return was opened again as often as the rules allow.",
    "already_asked": "The merchant asked before; now accept or refuse.",
    "no_offer": "No offer is open.",
    "no_finding": "No doorstep finding waits for an answer.",
    "not_self_ship": "The goods are picked up by a courier; no waybill is needed.",
    "not_delivered": "The goods have not reached the merchant.",
    "statutory_return": "A no-reason return inside the window cannot be refused (7 days, statute).",
    "not_declined": "Nothing was refused that could be escalated.",
    "not_parked": "The case is not parked.",
    "proof_required": "Skipping a money step needs the provider's proof that it is terminal, or an approval.",
    "proof_refused": "The provider's books do not show that the step is terminal.",
    "approval_unknown": "There is no such approval.",
    "approval_mismatch": "The approval is for another claim, amount or payee.",
    "approval_used": "The approval was consumed before.",
    "approval_required": "The amount is above the authority limit: a second person must approve.",
    "same_person": "Preparer and approver must be two people.",
    "ruling_unknown": "There is no such ruling.",
    "ruling_mismatch": "The ruling is for another case, or answers another question.",
    "same_reviewer": "An appeal is ruled on by another reviewer.",
    "not_appealable": "There is no ruling on liability here that could be appealed against.",
    "appealed_before": "A ruling is appealed against once, and the ruling on an appeal is the last.",
    "appeal_late": "The time for an appeal is over (7 days from the ruling).",
    "money_under_way": "Money is under way; the case cannot be closed now.",
    "too_many_messages": "This was sent as often as a case takes it: evidence 100 times a party, reports 1,000 times.",
    # providers
    "provider_rejected": "The provider refused, with its own code in the text.",
    "provider_unavailable": "The provider did not take the request.",
    "provider_rate_limited": "The provider asked to slow down.",
    "provider_unknown": "The provider's answer is not known; it is looked up by key.",
    "provider_malformed": "The provider's answer does not fit the contract.",
    "pending": "The provider has it and has not decided.",
    "already_collected": "The courier has the goods; the pickup cannot be voided.",
    "not_returnable": "The goods cannot be brought back: delivered, lost, or others' goods travel with them.",
    "account_abnormal": "The payee's account does not take money.",
    "channel_closed": "The payment channel closed the attempt.",
    "insufficient_balance": "The payer's account at the provider is short.",
    "payer_short": "The payer's account at the provider is short; the payment waits there under its key.",
    "exceeds_capture": "The refund exceeds what is left of the payment.",
    "notice_undelivered": "The notice reached nobody, and will not.",
    "claim_denied": "The insurer denied the claim.",
    "claim_contested": "The carrier contests the demand.",
    "uncollectable": "What the consumer owes could not be collected.",
    "given_up": "The last attempt was given up without the provider's word: no other one leaves before a ruling.",
    "no_answer": "No answer came in time.",
    # store and money
    "effect_conflict": "This payment key was used before for another amount, payee or purpose.",
    "entry_conflict": "This journal entry was posted before with other lines.",
    "unbalanced": "The entry does not balance.",
    "credit_exceeded": "The consumer's credit line is not large enough.",
    "over_refund": "More would be refunded than was paid.",
    "over_indemnity": "More would be indemnified than was lost or is insured.",
    "exceeds_owed": "The merchant owes less than this.",
    "invariant_broken": "An invariant does not hold; nothing was written.",
    "step_failed": "A step failed in a way that has no code of its own; the activity's failure tells more.",
    # why a case is parked, beside the codes above
    "ruling_needed": "The facts contradict each other or are disputed: a human rules on liability.",
    "arbitration_needed": "The consumer escalated a refusal, or the rules refer the request: a human decides.",
    "insurer_late": "The insurer has not decided, or not paid, within the time that the policy book gives it.",
    "late_scan": "The courier has the goods of a case that has ended; a human decides how it goes on.",
    "funding_refused": "The insurer refuses to pay the platform for an advance.",
    "cancel_requested": "Somebody asked to cancel after the courier had the goods.",
    "reconciliation_difference": "The books, or a provider's statement, are not as an invariant says.",
    "courier_refused": "The courier refuses the goods; a human decides how they travel.",
    "unavailable": "Temporal or the database cannot be reached now; try again.",
    "internal_error": "A bug on our side; nothing of yours is lost.",
    "method_not_allowed": "This address does not take this HTTP method.",
    "store_busy": "The database is busy.",
}
"""Every error code and what it means; documented in docs/reference/errors.md."""
