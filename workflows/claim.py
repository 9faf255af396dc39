"""A claim under RDV as the story follows it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from activities.contract import IndemnityPlan
from backhaul.money import Money


@dataclass
class Claim:
    """One claim under way. `approved` is None until the insurer has decided, and nothing where it denied; `over` once
    the merchant has the money or will get none; `withdrawn`: what was approved was overturned before it was paid."""

    plan: IndemnityPlan
    approved: Money | None = None
    over: bool = False
    withdrawn: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def stopped(self) -> bool:
        """Has its work ended, by whatever way?"""
        return self.task is not None and self.task.done()
