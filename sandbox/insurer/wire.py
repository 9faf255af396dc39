"""The bodies that the insurer takes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sandbox.common.wire import Amount, Currency, Millis, Strict, Text


class Coverage(Strict):
    """A bound and paid cover. `book` names the rules at binding; `declared` is the declared value, if any."""

    coverage_id: Text
    order_id: Text
    kind: Literal["RFI", "RDV"]
    sum_insured: Amount
    currency: Currency
    premium: Annotated[int, Field(ge=0)]
    declared: Any = None
    bound_at: Text
    book: Any = None


class NewClaim(Strict):
    """One loss under one coverage; freight goes under RFI, loss under RDV."""

    claim_ref: Text
    coverage_id: Text
    kind: Literal["freight", "loss"]
    amount: Amount
    currency: Currency


class Approval(Strict):
    """The amount that a decision is asked for; within the remaining sum it may differ from the reserve."""

    amount: Amount


class NewPayment(Strict):
    """Money out of an approved claim."""

    amount: Amount
    currency: Currency
    payee: Annotated[str, Field(pattern=r"^(courier:.+|consumer:.+|platform)$", max_length=300)]


class NewReturn(Strict):
    """Recovered money that the insurer gives back: what it was recovered for was overturned."""

    amount: Amount
    currency: Currency


class NewRemittance(Strict):
    """Recovered money that comes back to the insurer."""

    claim_ref: Text
    amount: Amount
    currency: Currency


class Release(Strict):
    """Claims whose reference contains `match`: what the insurer holds back for them comes now."""

    match: Text


class Script(Strict):
    """How claims whose reference contains `match` are decided.

    `approve` and `deny` answer at once, or after `after_ms` when it is given (pending until then). `pending` turns to
    `then` after `after_ms`, or stays pending until it is released. `code` gives the reason of a denial. `approved` is
    less (or more) than was asked for; `reserve` is another reserve while it is pending; `complex` says that it takes
    long. Payments of the claim: `pay` at once, `late` after `pay_after_ms` (released without), `refuse`.
    """

    match: Text
    decision: Literal["approve", "deny", "pending"] = "approve"
    then: Literal["approve", "deny"] = "approve"
    code: Text | None = None
    after_ms: Millis | None = None
    approved: Amount | None = None
    reserve: Amount | None = None
    complex: bool = False
    payment: Literal["pay", "late", "refuse"] = "pay"
    pay_after_ms: Millis | None = None

    @model_validator(mode="after")
    def _a_denial_has_a_code(self) -> Script:
        if self.code is None and "deny" in (self.decision, self.then):
            raise ValueError("a denial has a code")
        return self

    @property
    def outcome(self) -> Literal["approve", "deny"]:
        """The decision in the end."""
        return self.then if self.decision == "pending" else self.decision
