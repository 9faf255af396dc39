"""What stories of all subjects do and ask alike."""

from __future__ import annotations

import pytest

from backhaul.errors import Refusal
from tests.workflows.world import Case


async def refused(case: Case, update: str, body: object, code: str) -> None:
    """The update is refused with this code and leaves nothing behind."""
    with pytest.raises(Refusal) as error:
        await case.say(update, body)
    assert error.value.code == code, error.value.code


async def to_the_merchant(case: Case) -> None:
    """Scan, transit, delivery."""
    await case.waits_for("pickup")
    await case.pickup()
    await case.waits_for("delivery")
    await case.track("in_transit")
    await case.track("delivered")
    await case.waits_for("receipt")


async def told(case: Case) -> list[tuple[str, str]]:
    """Who was told what on the case, in order, by the inbox's own book."""
    return await case.world.outside.told(f"{case.request.merchant_id}/{case.request.rma_id}")


def templates(entries: list[tuple[str, int]]) -> dict[str, int]:
    """Totals by template."""
    totals: dict[str, int] = {}
    for template, minor in entries:
        totals[template] = totals.get(template, 0) + minor
    return totals
