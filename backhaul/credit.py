"""A consumer's credit line as people see it: how much, what it is used for, what happened to it. Domain 4.4."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from backhaul.facts import Frozen, Token
from backhaul.money import Money


class CreditHold(Frozen):
    """One case's part of the line: reserved, advanced, or owed by the consumer (`frozen`)."""

    case: str = Field(description="merchant/rma")
    granted: Money
    amount: Money = Field(description="what of it is still taken")
    state: str = Field(description="held, frozen or written_off")
    at: AwareDatetime


class CreditEvent(Frozen):
    """One change of the line, with the line as it was after it."""

    seq: int
    kind: str = Field(description="reserved, released, collected, written_off, frozen, unfrozen or limit")
    case: str | None = None
    amount: Money
    used: Money
    limit: Money
    frozen: bool
    by: str = Field(description="`rule`, `import`, or the person")
    reason: str
    at: AwareDatetime


class CreditLine(Frozen):
    """The line now, its holds, and its last events, oldest first."""

    consumer_ref: Token
    tier: int
    limit: Money
    used: Money
    free: Money
    frozen: bool
    frozen_by: str | None = Field(default=None, description="the person; null where a rule froze it")
    holds: tuple[CreditHold, ...] = ()
    events: tuple[CreditEvent, ...] = ()


class FreezeCredit(Frozen):
    """Nothing more is granted on the line, until a person thaws it."""

    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class UnfreezeCredit(Frozen):
    """The line grants again, whatever froze it."""

    reason: Annotated[str, Field(min_length=1, max_length=1000)]
