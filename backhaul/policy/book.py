"""The policy book: one dated, numbered set of all rules and numbers, immutable by (version, hash)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from backhaul.facts import BookRef, Frozen, Reason, digest
from backhaul.money import EXPONENTS, Money
from backhaul.policy.sections import (
    Authorization,
    Eligibility,
    Freight,
    Liability,
    Lightning,
    Offer,
    Pickup,
    Rdv,
    Recovery,
    RefundOnly,
    RiskRules,
    Settlement,
    Timers,
)
from backhaul.policy.values import Instant


class PolicyBook(Frozen):
    """All rules and numbers of one version. Every amount has the book's currency. Rule 1, "policy book"."""

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
    title: str
    currency: str
    effective_from: Instant | None = Field(default=None, description="None: never picked by date")
    eligibility: Eligibility
    authorization: Authorization
    freight: Freight
    rdv: Rdv
    lightning: Lightning
    offer: Offer
    refund_only: RefundOnly
    liability: Liability
    timers: Timers
    pickup: Pickup
    settlement: Settlement
    recovery: Recovery
    risk: RiskRules | None = Field(default=None, description="4.6; books without it go by the outside signal alone")

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a book as written in TOML: amounts are decimal text of the book's one currency.

        Raises pydantic's ValidationError (a ValueError) for anything missing, unknown or contradictory."""
        return cls.model_validate(dict(document), context={"currency": document.get("currency")})

    @property
    def hash(self) -> str:
        """Digest of what the book says. Fields that a later release adds with a default do not change it."""
        return digest(self.model_dump(mode="json", exclude_unset=True, exclude_none=True))

    @property
    def ref(self) -> BookRef:
        """Version and hash: the only way a book is named in a decision."""
        return BookRef(version=self.version, hash=self.hash)

    def is_merchants(self, reason: Reason) -> bool:
        """Is this a reason the merchant answers for (quality, wrong item)? Rule 4.1."""
        return reason in self.eligibility.merchant_reasons

    @field_validator("currency")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in EXPONENTS:
            raise ValueError(f"currency {value!r} is not supported")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for path, amount in _amounts(self, ""):
            if amount.currency != self.currency:
                raise ValueError(f"{path} is in {amount.currency}, the book in {self.currency}")
            if amount.minor < 0:
                raise ValueError(f"{path} is negative")
        if self.timers.receipt_silence <= self.pickup.slot_grace:
            raise ValueError("receipt_silence must be longer than slot_grace")
        return self


def _amounts(value: object, path: str) -> Iterator[tuple[str, Money]]:
    """Every amount inside a model, with its path."""
    if isinstance(value, Money):
        yield path, value
    elif isinstance(value, BaseModel):
        for name, part in value:
            yield from _amounts(part, f"{path}.{name}".lstrip("."))
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _amounts(part, f"{path}.{key}")
