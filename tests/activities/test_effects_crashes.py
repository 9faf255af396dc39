"""A process that dies: before or after every transaction and every call. One success outside, one entry inside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select
from temporalio.exceptions import ApplicationError

from activities.contract import (
    BookPickup,
    ClaimFreight,
    ClaimIndemnity,
    ConfirmBounce,
    LeavePickup,
    PayAdvance,
    PayConsumer,
    ProveTerminal,
    SendRefund,
)
from backhaul.facts import Method
from backhaul.ids import account_key
from backhaul.ledger import CaseRef
from gateways.http import Http
from store.engine import Store
from store.tables import PickupMemberRow
from tests.activities.effects_kit import AT, PATIENCE, Kit, freight_of, key_of, kit, loss_of, part_of


class Killed(BaseException):
    """The process is gone: nothing that comes after runs."""


@pytest.fixture(scope="module")
async def k(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kit]:
    async with kit(tmp_path_factory.mktemp("crashes")) as made:
        yield made


@contextmanager
def killed_at(point: int) -> Iterator[list[str]]:
    """Die at the `point`-th border; the borders passed. One is before and one after each transaction and call."""
    passed: list[str] = []

    def border(name: str) -> None:
        passed.append(name)
        if len(passed) == point:
            raise Killed(name)

    def between(owner: type, name: str) -> Callable[..., Awaitable[Any]]:
        real = getattr(owner, name)

        async def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
            border(f"before {name}")
            result = await real(self, *args, **kwargs)
            border(f"after {name}")
            return result

        return guarded

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((Store, "run"), (Http, "post")):
            patch.setattr(owner, name, between(owner, name))
        yield passed


async def refund(k: Kit, case: CaseRef) -> None:
    await k.run(k.payments.send_refund, SendRefund(case=case, part=part_of(case), patience=PATIENCE))


async def freight(k: Kit, case: CaseRef) -> None:
    asked = ClaimFreight(case=case, claim=freight_of(case), method=Method.PICKUP, patience=PATIENCE)
    await k.run(k.insurers.claim_freight, asked)


async def advance(k: Kit, case: CaseRef) -> None:
    plan = loss_of(case)
    await k.run(k.insurers.claim_indemnity, ClaimIndemnity(case=case, plan=plan, patience=PATIENCE))
    await k.run(k.payments.pay_advance, PayAdvance(case=case, plan=plan, patience=PATIENCE))


async def proof(k: Kit, case: CaseRef) -> None:
    """The refund's failure is proved; what it took is given back once."""
    part = part_of(case)
    await k.world.script("psp", part.payment_key, state="failed", code="channel_closed")
    try:
        await refund(k, case)
    except Exception:
        await k.run(k.payments.prove_terminal, ProveTerminal(case=case, key=part.payment_key))


async def otherwise(k: Kit, case: CaseRef) -> None:
    """The card is void: paid to an account that the consumer named."""
    part = part_of(case)
    await k.world.script("psp", part.payment_key, state="failed", code="account_abnormal")
    with suppress(ApplicationError):
        await refund(k, case)
    asked = PayConsumer(
        case=case,
        of=part.payment_key,
        key=account_key(part.payment_key),
        amount=part.amount,
        account_ref="acc-1",
        patience=PATIENCE,
    )
    await k.run(k.payments.pay_consumer, asked)


async def bounced(k: Kit, case: CaseRef) -> None:
    """The refund succeeded and came back: owed again, and paid another way."""
    part = part_of(case)
    await refund(k, case)
    if len(await k.world.statement("psp", part.payment_key)) == 1:
        await k.world.control("psp", "bounces", {"key": part.payment_key})
    asked = ConfirmBounce(case=case, payment_key=part.payment_key, patience=PATIENCE)
    await k.run(k.payments.confirm_bounce, asked)
    await otherwise(k, case)


async def pickup(k: Kit, case: CaseRef) -> None:
    await k.world.script("courier", key_of(case), hold=True)
    asked = BookPickup(
        case=case,
        address_ref="a1",
        zone="default",
        slot_start=AT,
        slot_end=AT + timedelta(hours=2),
        courier="sandbox",
        n=1,
        patience=PATIENCE,
    )
    async with k.store.read() as session:
        mine = (await session.exec(select(PickupMemberRow).where(PickupMemberRow.case_key == key_of(case)))).all()
    leaving = [member.pickup_id for member in mine if member.state == "left"]
    pickup_id = leaving[0] if leaving else (await k.run(k.couriers.book_pickup, asked)).pickup_id
    leave = LeavePickup(case=case, pickup_id=pickup_id, patience=PATIENCE)
    left = await k.run(k.couriers.leave_pickup, leave)
    assert left.voided


CASES: list[tuple[Callable[[Kit, CaseRef], Awaitable[None]], list[str], dict[str, int]]] = [
    (refund, ["J23", "J21"], {"psp": 1}),
    (freight, ["J23", "J10", "J11", "J12"], {"insurer": 1}),
    (advance, ["J23", "J30", "J31", "J34"], {"psp": 1}),
    (proof, ["J23", "J62"], {"psp": 0}),
    (otherwise, ["J23", "J61"], {"psp": 1}),
    (bounced, ["J23", "J21", "J60", "J61"], {"psp": 3}),
    (pickup, ["J23"], {"courier": 0}),
]


@pytest.mark.parametrize(("work", "posted", "stated"), CASES, ids=lambda value: getattr(value, "__name__", ""))
async def test_killed_anywhere_it_is_carried_on(
    k: Kit, work: Callable[[Kit, CaseRef], Awaitable[None]], posted: list[str], stated: dict[str, int]
) -> None:
    point, died = 0, True
    while died:
        point += 1
        case = await k.case(f"{work.__name__}.{point}")
        await k.due(part_of(case), case)
        with killed_at(point) as passed:
            try:
                await work(k, case)
                died = False
            except Killed:
                died = True
        await work(k, case)
        await work(k, case)
        assert await k.numbers(case) == posted, passed
        for party, count in stated.items():
            rows = [row for row in await _statement(k, party) if f"{case.rma_id}:" in row]
            assert len(rows) == count, passed
    assert point > 4


async def _statement(k: Kit, party: str) -> list[str]:
    gateways = k.world.gateways
    of = {"psp": gateways.payments, "insurer": gateways.insurer, "courier": gateways.courier("sandbox")}
    return [row.key for row in (await of[party].statement(0, 500)).rows]
