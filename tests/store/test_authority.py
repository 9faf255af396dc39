"""Approvals and rulings: two people, one use, one purpose (domain 6, invariant 13)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import update

from backhaul.errors import BackhaulError
from backhaul.facts import Finding, LineFinding
from backhaul.messages import Approval, CreateRuling
from store import authority
from store.engine import Store
from store.tables import ApprovalRow
from tests.approvals import CreateApproval, create_approval
from tests.store.support import AT, yuan

PURPOSE: dict[str, Any] = {"case_key": "m1/r1", "subject": "advance", "amount": yuan("3600.00"), "payee": "m1"}


def wanted(**changes: Any) -> CreateApproval:
    fields: dict[str, Any] = {
        "merchant_id": "m1",
        "rma_id": "r1",
        "subject": "advance",
        "amount": yuan("3600.00"),
        "payee": "m1",
        "prepared_by": "ann",
    }
    return CreateApproval(**{**fields, **changes})


async def approve(store: Store, by: str = "bob", **changes: Any) -> Approval:
    async with store.transaction() as session:
        return await create_approval(session, "a1", wanted(**changes), by, AT)


async def consume(store: Store, approval_id: str = "a1", by: str = "key", **changes: Any) -> None:
    async with store.transaction() as session:
        await authority.consume(session, approval_id, **{**PURPOSE, **changes}, by=by, at=AT)


async def code(doing: Any) -> str:
    with pytest.raises(BackhaulError) as error:
        await doing
    return error.value.code


async def test_nobody_approves_what_they_prepared(store: Store) -> None:
    assert await code(approve(store, by="ann")) == "same_person"
    assert await code(consume(store)) == "approval_unknown"


async def test_the_same_approval_again_is_the_same(store: Store) -> None:
    first = await approve(store)
    assert await approve(store) == first
    assert await code(approve(store, amount=yuan("9999.00"))) == "approval_mismatch"
    assert await code(approve(store, by="eve")) == "approval_mismatch"


async def test_an_approval_fits_one_purpose(store: Store) -> None:
    await approve(store)
    for change in (
        {"case_key": "m1/r2"},
        {"subject": "other"},
        {"amount": yuan("3600.01")},
        {"payee": "m2"},
    ):
        assert await code(consume(store, **change)) == "approval_mismatch"
    await consume(store)
    await consume(store)
    assert await code(consume(store, by="another key")) == "approval_used"
    async with store.read() as session:
        assert (await authority.find_approval(session, "a1")).used


async def test_a_row_that_was_tampered_with_fits_nothing(store: Store) -> None:
    """The hash binds what is written in the row: a raised amount does not pass, for the old sum or the new one."""
    await approve(store)
    async with store.transaction() as session:
        await session.exec(update(ApprovalRow).values(amount_minor=999_900))
    assert await code(consume(store)) == "approval_mismatch"
    assert await code(consume(store, amount=yuan("9999.00"))) == "approval_mismatch"


async def test_one_of_many_uses_it(stores: tuple[Store, Store]) -> None:
    await approve(stores[0])
    used = await asyncio.gather(*(consume(stores[n % 2], by=f"key {n}") for n in range(10)), return_exceptions=True)
    assert sum(one is None for one in used) == 1
    assert {one.code for one in used if isinstance(one, BackhaulError)} == {"approval_used"}


async def test_rulings_are_of_their_case(store: Store) -> None:
    finding = LineFinding(line_id="l1", finding=Finding.DAMAGE, quantity=1, severity=30)
    request = CreateRuling(
        merchant_id="m1", rma_id="r1", decides="liability", outcome="carrier", findings=(finding,), reason="photos"
    )
    async with store.transaction() as session:
        made = await authority.create_ruling(session, "u1", request, "bob", AT)
        assert await authority.create_ruling(session, "u1", request, "bob", AT) == made
        assert await authority.find_ruling(session, "u1", "m1/r1") == made
        assert made.findings == (finding,)
        other = request.model_copy(update={"outcome": "merchant", "findings": None})
        assert await code(authority.create_ruling(session, "u1", other, "bob", AT)) == "ruling_mismatch"
        assert await code(authority.find_ruling(session, "u1", "m1/r2")) == "ruling_mismatch"
        assert await code(authority.find_ruling(session, "none")) == "ruling_unknown"


async def test_what_is_only_prepared_lets_nothing_go(store: Store) -> None:
    async with store.transaction() as session:
        await authority.prepare_approval(session, "a1", wanted(), "ann", AT)
    assert await code(consume(store)) == "approval_required"

    async def say(by: str) -> Approval:
        async with store.transaction() as session:
            return await authority.approve(session, "a1", by)

    assert await code(say("ann")) == "same_person"
    assert (await say("bob")).approved_by == "bob"
    assert await say("bob") == await say("bob")
    assert await code(say("eve")) == "already_decided"
    await consume(store)


async def test_one_person_behind_both_names_lets_nothing_go(store: Store) -> None:
    """The row itself is looked at where the money leaves, whoever wrote it."""
    await approve(store)
    async with store.transaction() as session:
        await session.exec(update(ApprovalRow).values(prepared_by="bob"))
    assert await code(consume(store)) == "same_person"
