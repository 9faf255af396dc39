"""Money that moves at the bank outside any case: what an operator books, each under a second person's approval."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, model_validator

from backhaul.facts import Frozen, Token
from backhaul.ledger.journal import PLATFORM
from backhaul.money import Money


class TreasuryKind(StrEnum):
    """What happened at the bank, and the entry that says so."""

    DEPOSIT_RECEIVED = "deposit_received"
    SHORTFALL_TOPPED_UP = "shortfall_topped_up"
    PSP_SWEPT = "psp_swept"
    PSP_TOPPED_UP = "psp_topped_up"


OF_MERCHANTS = frozenset({TreasuryKind.DEPOSIT_RECEIVED, TreasuryKind.SHORTFALL_TOPPED_UP})
"""The others are the platform's own: its balance at the payment provider."""


class PostTreasury(Frozen):
    """One movement: J77, J73 (a merchant's), J05, J06 (the platform's). `reference` is the bank's; the same reference
    again is the same movement. The approval is for subject `{kind}:{reference}`, this amount, and the merchant (or
    `platform`) as payee."""

    kind: TreasuryKind
    merchant_id: Token = PLATFORM
    amount: Money
    reference: Token
    approval_id: Token

    @model_validator(mode="after")
    def _whose(self) -> PostTreasury:
        if self.amount.minor <= 0:
            raise ValueError("amount must be positive")
        if (self.kind in OF_MERCHANTS) == (self.merchant_id == PLATFORM):
            raise ValueError("deposits and top-ups name a merchant, the provider's balance does not")
        return self

    @property
    def subject(self) -> str:
        """What the approval is for."""
        return f"{self.kind.value}:{self.reference}"


class TreasuryPosted(Frozen):
    """The entry; `created` false: it was posted before."""

    entry: str
    template: str
    created: bool


Note = Annotated[str, Field(max_length=300)]


class HoldPayouts(Frozen):
    """Keep a merchant's money, or one case's, out of settlement until it is released."""

    rma_id: Token | None = None
    note: Note = ""


class ReleasePayouts(Frozen):
    """Let held money into the next settlement. `reason` names the hold; an operator's by default."""

    rma_id: Token | None = None
    reason: Annotated[str, Field(pattern=r"^[a-z0-9_.:-]{1,100}$")] = "operator"
    note: Note = ""


class HoldView(Frozen):
    """One open hold."""

    merchant_id: str
    rma_id: str | None
    reason: str
    held_by: str
    note: str
    held_at: AwareDatetime


class Holds(Frozen):
    """A merchant's open holds, oldest first."""

    holds: tuple[HoldView, ...]
