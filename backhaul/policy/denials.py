"""Why an insurer denies a claim: a closed set of reasons in our words, and which can be appealed. Domain 4.3."""

from __future__ import annotations

from enum import StrEnum

from backhaul.facts import BookRef, Verdict
from backhaul.money import Money
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import outside


class Denial(StrEnum):
    """The reasons. Each has its text in backhaul.policy.texts under the same word with `claim_` before it."""

    NOT_COVERED = "not_covered"
    EVIDENCE_MISSING = "evidence_missing"
    LATE_NOTICE = "late_notice"
    FRAUD_SUSPECTED = "fraud_suspected"
    LIMIT_EXHAUSTED = "limit_exhausted"
    OTHER = "other"


APPEALABLE = frozenset({Denial.EVIDENCE_MISSING})
"""What more evidence may change. Appealed once: the answer to an appeal is final."""
_DENIED = {
    Denial.NOT_COVERED: Code.CLAIM_NOT_COVERED,
    Denial.EVIDENCE_MISSING: Code.CLAIM_EVIDENCE_MISSING,
    Denial.LATE_NOTICE: Code.CLAIM_LATE_NOTICE,
    Denial.FRAUD_SUSPECTED: Code.CLAIM_FRAUD_SUSPECTED,
    Denial.LIMIT_EXHAUSTED: Code.CLAIM_LIMIT_EXHAUSTED,
    Denial.OTHER: Code.CLAIM_OTHER,
}


def insurer_decision(claimed: Money, approved: Money, denial: Denial | None, claim_ref: str, book: BookRef) -> Verdict:
    """The insurer's answer to a claim, as a decision that explains itself beside ours. The outcome is approved, partly
    or denied; its facts are the claim and the answer."""
    if denial is not None:
        outcome, code = "denied", _DENIED[denial]
    elif approved == claimed:
        outcome, code = "approved", Code.CLAIM_APPROVED
    else:
        outcome, code = "partly", Code.CLAIM_APPROVED_IN_PART
    return outside(
        "insurer_decision",
        outcome,
        [code],
        ["4.3.insurer"],
        book,
        claim=claim_ref,
        claimed=claimed.minor,
        approved=approved.minor,
        denial=None if denial is None else denial.value,
    )
