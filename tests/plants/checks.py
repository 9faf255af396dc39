"""Small checks, one an invariant: each does a little of the product's work and says what its line finds.

`python -m tests.plants.checks NAME` prints the codes found, as JSON; the copy in the working folder is what is asked.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from activities.steps.desk import id_of
from backhaul.errors import Rejected, Unknown
from backhaul.ids import next_key, payment_key, recovery_key
from backhaul.ledger import made, refund_due, refund_succeeded
from backhaul.policy.library import load_library
from store import claims, credit, ledger, recoveries, refunds, settlement
from store.effects import GIVEN_UP, Answer, Intent, Outcome, begin, run_effect
from store.engine import Store
from store.reconcile import Books, check_line, snapshot
from tests.approvals import CreateApproval, create_approval
from tests.steps.support import AT, World, a_line, a_request, an_order, found, yuan
from tests.store.support import fresh_sqlite

Check = Callable[[World, Store], Awaitable[None]]


async def inv01(world: World, store: Store) -> None:
    """A sale is imported."""
    await world.order()


async def inv02(world: World, store: Store) -> None:
    """A refund succeeds."""
    await world.order()
    case = (await world.judge()).case
    key = payment_key(id_of(case), "refund.o1-p1")
    await _pay(world, store, key, _ok)


async def inv03(world: World, store: Store) -> None:
    """A line is refunded twice."""
    await world.order()
    case = (await world.judge()).case
    for part in ("1", "2"):
        with suppress(Rejected):
            async with store.transaction() as session:
                await refunds.add_to_line(session, "o1", "l1", yuan("1200.00"), yuan("60.00"))
                due = refund_due(case, yuan("1200.00"), yuan("60.00"), part=part)
                await ledger.post(session, made(due), AT)


async def inv04(world: World, store: Store) -> None:
    """A freight claim is planned."""
    await world.order()
    async with store.transaction() as session:
        await claims.plan(session, "m1.r1.freight.1", "freight", "o1-rfi", "m1/r1", yuan("14.00"), "courier", at=AT)


async def inv05(world: World, store: Store) -> None:
    """The coat, damaged at the door, the consumer at fault, under RDV."""
    await world.order()
    case = (await world.judge()).case
    await world.collect(case, found())
    plan = (await world.assess(case, found())).indemnity
    assert plan is not None
    await world.indemnify(case, plan)
    await world.settle(case)


async def inv06(world: World, store: Store) -> None:
    """A recovery of an indemnity collects it twice."""
    await world.order()
    await world.judge()
    ref, amount = "m1.r1.loss.1", yuan("360.00")
    async with store.transaction() as session:
        await claims.plan(session, ref, "loss", "o1-rdv", "m1/r1", amount, "m1", at=AT)
        await claims.advance(session, ref, "approved", AT, approved=amount)
        row = await claims.open_recovery(session, ref, "m1/r1", "carrier", amount, "w", {}, AT)
        for _ in range(2):
            with suppress(Rejected):
                await recoveries.collect(session, row, amount, AT)


async def inv07(world: World, store: Store) -> None:
    """A lightning line is reserved."""
    await world.order()
    async with store.transaction() as session:
        await credit.reserve(session, "m1/r1", "c1", yuan("1200.00"), AT)


async def inv08(world: World, store: Store) -> None:
    """A claim is reserved, then denied."""
    await world.order()
    case = (await world.judge()).case
    await world.collect(case, found())
    plan = (await world.assess(case, found())).indemnity
    assert plan is not None
    await world.deny(case, plan)


async def inv09(world: World, store: Store) -> None:
    """A case ends although its refund has not left."""
    await world.order(an_order(tier=0, rfi=None, rdv=None))
    case = (await world.judge()).case
    await world.collect(case)
    await world.settle(case)
    with suppress(Exception):
        await world.end(case)


async def inv10(world: World, store: Store) -> None:
    """Two cases share one waybill."""
    await world.order(an_order(a_line("l1"), a_line("l2", weight_g=700)))
    first = (await world.judge(a_request("r1"))).case
    second = (await world.judge(a_request("r2", lines={"l2": 1}))).case
    await world.book("r1")
    await world.book("r2")
    await world.collect(first, collected=("l1",))
    await world.collect(second, collected=("l2",))


async def inv11(world: World, store: Store) -> None:
    """An indemnity is approved, advanced and funded."""
    await inv05(world, store)


async def inv12(world: World, store: Store) -> None:
    """A merchant is settled."""
    await world.order()
    async with store.transaction() as session:
        await settlement.open_cut(session, "c1", AT)
    async with store.transaction() as session:
        await settlement.form_batches(session, "m1", "c1", AT)


async def inv13(world: World, store: Store) -> None:
    """One person prepares and approves."""
    request = CreateApproval(
        merchant_id="m1", rma_id="r1", subject="claim", amount=yuan("5000.00"), payee="m1", prepared_by="anna"
    )
    with suppress(Rejected):
        async with store.transaction() as session:
            await create_approval(session, "a1", request, "anna", AT)


async def inv14(world: World, store: Store) -> None:
    """A refund's answer is not known, and somebody tries the next number; a set-off was given up, and so do they."""
    await world.order()
    case = (await world.judge()).case
    key = payment_key(id_of(case), "refund.o1-p1")
    with suppress(Unknown):
        await _pay(world, store, key, _lost)
    with suppress(Rejected):
        await _pay(world, store, next_key(key), _ok)
    first = recovery_key("m1.r1.loss.1", recoveries.SET_OFF)
    async with store.transaction() as session:
        row, _ = await begin(session, _set_off(first), AT)
        row.state, row.code = Outcome.FAILED.value, GIVEN_UP
        session.add(row)
    with suppress(Rejected):
        async with store.transaction() as session:
            await begin(session, _set_off(recovery_key("m1.r1.loss.1", recoveries.SET_OFF, 2)), AT)


def _set_off(key: str) -> Intent:
    return Intent(
        key, recoveries.SET_OFF, "c", yuan("10.00"), "platform", timedelta(days=30), numbered=True, in_parts=True
    )


async def inv15(world: World, store: Store) -> None:
    """A case that is on a visit is withdrawn."""
    await world.order()
    case = (await world.judge()).case
    await world.book()
    await world.end(case, "withdrawn")


async def inv16(world: World, store: Store) -> None:
    """Cover was bound under another book than the one of the request."""
    other = World(store, "2024-09")
    await other.order()
    case = (await other.judge()).case
    await other.collect(case)


async def inv17(world: World, store: Store) -> None:
    """One of three units comes back, and its commission with it."""
    await world.order(an_order(a_line(paid="100.00", quantity=3), tier=0))
    case = (await world.judge(a_request(lines={"l1": 1}))).case
    await world.collect(case)
    await world.settle(case)


async def _ok() -> Answer:
    return Answer(Outcome.SUCCEEDED, "ref")


async def _lost() -> Answer:
    raise Unknown("provider_unknown")


async def _pay(world: World, store: Store, key: str, send: Callable[[], Awaitable[Answer]]) -> None:
    case = (await world.judge()).case
    amount = yuan("10.00")

    async def look_up() -> None:
        return None

    await run_effect(
        store,
        Intent(key, "refund", "psp", amount, "c1", timedelta(days=30), case_key="m1/r1", numbered=True),
        look_up=look_up,
        send=send,
        clock=lambda: AT,
        entries=lambda _: made(refund_succeeded(case, amount, key=key)),
    )


CHECKS: dict[int, Check] = {
    int(name[3:]): check for name, check in list(globals().items()) if name.startswith("inv") and name[3:].isdigit()
}


async def codes_of(invariant: int) -> list[str]:
    """What the invariant's line finds after its check."""
    async with fresh_sqlite() as store:
        await CHECKS[invariant](World(store), store)
        async with snapshot(store) as session:
            line = await check_line(Books(session, load_library()), invariant)
    return sorted({finding.code for finding in line.findings})


if __name__ == "__main__":
    print(json.dumps(asyncio.run(codes_of(int(sys.argv[1])))))
