"""A recovery as people see it: from whom, how much, how far it has come. Domain 3, 4.5."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from backhaul.facts import Frozen, Liable, Token
from backhaul.messages import AttentionView, EventView, WaitView
from backhaul.money import Money


class RecoveryStatus(Frozen):
    """One recovery of a case. What it waits for, and what happened, only it itself can say while it runs."""

    merchant_id: Token
    rma_id: Token
    claim_ref: Token
    recovery_ref: Token = Field(description="its own name: the claim's, from the second recovery of a claim on another")
    workflow_id: str
    liable: Liable
    state: str = Field(description="identified, demanded, accepted, contested; collected, partial or waived")
    amount: Money
    collected: Money = Field(description="in hand, in cash, by set-off, by charges")
    remitted: Money = Field(description="given to the insurer")
    written_off: Money
    opened_at: AwareDatetime
    waiting: WaitView | None = None
    attention: AttentionView | None = None
    events: tuple[EventView, ...] = ()
