"""Money: integer minor units and an ISO 4217 currency. No floats anywhere (domain 6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from functools import total_ordering
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

EXPONENTS: dict[str, int] = {
    "AUD": 2,
    "BHD": 3,
    "BRL": 2,
    "CLP": 0,
    "CNY": 2,
    "EUR": 2,
    "GBP": 2,
    "HKD": 2,
    "IDR": 2,
    "INR": 2,
    "JOD": 3,
    "JPY": 0,
    "KRW": 0,
    "KWD": 3,
    "MOP": 2,
    "MYR": 2,
    "OMR": 3,
    "PHP": 2,
    "SGD": 2,
    "THB": 2,
    "TND": 3,
    "TWD": 2,
    "USD": 2,
    "VND": 0,
}
"""Digits after the point per currency (ISO 4217). A currency that is not here is refused."""

MAX_MINOR = 10**15
"""Upper bound of any amount: far above every real one, far below 64 bits."""


class CurrencyMismatch(ValueError):
    """Two amounts of different currencies met in one calculation."""


@total_ordering
class Money(BaseModel):
    """An amount in minor units (fen, cent, yen) of one currency. Immutable; may be negative."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minor: Annotated[int, Field(strict=True, ge=-MAX_MINOR, le=MAX_MINOR)]
    currency: str = "CNY"

    @field_validator("currency")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in EXPONENTS:
            raise ValueError(f"currency {value!r} is not supported")
        return value

    @classmethod
    def of(cls, major: str, currency: str = "CNY") -> Self:
        """Parse a decimal text in major units, such as "12.34". Refuses more digits than the currency has."""
        if currency not in EXPONENTS:
            raise ValueError(f"currency {currency!r} is not supported")
        try:
            scaled = Decimal(major).scaleb(EXPONENTS[currency])
        except InvalidOperation as exc:
            raise ValueError(f"{major!r} is not an amount") from exc
        if not scaled.is_finite() or scaled != scaled.to_integral_value():
            raise ValueError(f"{major!r} has more digits than {currency} allows")
        return cls(minor=int(scaled), currency=currency)

    @classmethod
    def zero(cls, currency: str = "CNY") -> Self:
        """Nothing, in the given currency."""
        return cls(minor=0, currency=currency)

    @classmethod
    def sum(cls, amounts: Iterable[Money], currency: str) -> Money:
        """Add amounts up; nothing adds up to zero of `currency`."""
        total = Money.zero(currency)
        for amount in amounts:
            total = total + amount
        return total

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} against {other.currency}")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(minor=self.minor + other.minor, currency=self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(minor=self.minor - other.minor, currency=self.currency)

    def __neg__(self) -> Money:
        return Money(minor=-self.minor, currency=self.currency)

    def __mul__(self, count: int) -> Money:
        return Money(minor=self.minor * count, currency=self.currency)

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.minor < other.minor

    def __bool__(self) -> bool:
        return self.minor != 0

    def fraction(self, numerator: int, denominator: int) -> Money:
        """This times numerator/denominator, rounded down (domain 6, invariant 17)."""
        if denominator <= 0:
            raise ValueError("denominator must be positive")
        return Money(minor=self.minor * numerator // denominator, currency=self.currency)

    def at_most(self, limit: Money) -> Money:
        """The smaller of the two."""
        return min(self, limit)

    def split(self, weights: Sequence[int]) -> list[Money]:
        """Share by weight: every share rounds down, the rest goes one unit each by largest remainder,
        ties to the earlier position. The shares always add up to the whole (domain 6, invariant 17)."""
        if not weights or any(weight < 0 for weight in weights):
            raise ValueError("weights must be given and not negative")
        if self.minor < 0:
            return [-share for share in (-self).split(weights)]
        total = sum(weights)
        if total == 0:
            weights, total = [1] * len(weights), len(weights)
        shares = [self.minor * weight // total for weight in weights]
        remainders = [self.minor * weight % total for weight in weights]
        rest = self.minor - sum(shares)
        for position in sorted(range(len(weights)), key=lambda i: (-remainders[i], i))[:rest]:
            shares[position] += 1
        return [Money(minor=share, currency=self.currency) for share in shares]

    def major(self) -> str:
        """Decimal text in major units, such as "12.34": the reverse of `of`."""
        exponent = EXPONENTS[self.currency]
        sign, digits = ("-" if self.minor < 0 else ""), str(abs(self.minor)).rjust(exponent + 1, "0")
        if exponent == 0:
            return sign + digits
        return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}"

    def __str__(self) -> str:
        return f"{self.currency} {self.major()}"


def cumulative_share(total: Money, part: int, of: int) -> Money:
    """What the first `part` of `of` equal units are worth: floor(total x part / of), so that
    units handed out one after another add up to the total (33.33, 33.33, 33.34)."""
    if not 0 <= part <= of or of <= 0:
        raise ValueError(f"part {part} is not within {of}")
    return total.fraction(part, of)
