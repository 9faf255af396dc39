"""Evidence by reference: once each, never replaced, with who gave it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from backhaul.errors import Refusal, Rejected
from backhaul.facts import Finding, Party
from backhaul.messages import CreateAppeal, CreateRuling, DoorstepFinding, EvidenceKind, EvidenceRef, Ruling
from store import authority, cases, evidence
from store.engine import Store
from tests.store.support import AT, BOOK, import_order, open_case

WEEK = timedelta(days=7)


def piece(ref: str = "a.jpg", by: Party = Party.CONSUMER, sha: str = "a") -> EvidenceRef:
    return EvidenceRef(ref=ref, sha256=sha * 64, by=by, kind=EvidenceKind.PHOTO, line_id="l1")


async def _case(store: Store) -> None:
    await import_order(store)
    await open_case(store)


async def test_the_same_piece_is_kept_once_and_another_beside_it(store: Store) -> None:
    await _case(store)
    later = AT + timedelta(hours=1)
    async with store.transaction() as session:
        assert await evidence.keep(session, "m1/r1", [piece()], evidence.REQUEST, AT) == 1
        assert await evidence.keep(session, "m1/r1", [piece()], evidence.PARTY, later, "shop-7") == 0
        # Another content under the same reference replaces nothing; another side's piece is its own.
        given = [piece(sha="b"), piece(by=Party.MERCHANT)]
        assert await evidence.keep(session, "m1/r1", given, evidence.PARTY, later, "shop-7") == 2
        door = DoorstepFinding(line_id="l1", finding=Finding.DAMAGE, quantity=1, severity=30, photos=("p1", "p2"))
        for _ in range(2):
            await evidence.keep_photos(session, "m1/r1", [door], later)
    async with store.read() as session:
        kept = await evidence.of_case(session, "m1/r1")
    assert (kept[0].ref, kept[0].source, kept[0].given_by, kept[0].received_at) == ("a.jpg", "request", None, AT)
    rest = {(one.ref, one.by.value, one.source, one.given_by, one.sha256 and one.sha256[0]) for one in kept[1:]}
    assert rest == {
        ("a.jpg", "consumer", "party", "shop-7", "b"),
        ("a.jpg", "merchant", "party", "shop-7", "a"),
        ("p1", "courier", "door", None, None),
        ("p2", "courier", "door", None, None),
    }


# ---- rulings and appeals ------------------------------------------------------------------------------------------


async def _ruled(store: Store, ruling_id: str = "u1", by: str = "ann", **changes: object) -> Ruling:
    given = {"decides": "liability", "outcome": "carrier", "reason": "photos", **changes}
    request = CreateRuling(merchant_id="m1", rma_id="r1", **given)  # type: ignore[arg-type]
    async with store.transaction() as session:
        return await authority.create_ruling(session, ruling_id, request, by, AT)


async def _told(store: Store, *rulings: str, at: datetime = AT) -> None:
    """Both sides know of these rulings."""
    for ruling_id in rulings:
        async with store.transaction() as session:
            await authority.note_told(session, ruling_id, "m1/r1", at)


async def _appealed(store: Store, ruling_id: str = "u1", *, hours: float = 1, by: Party = Party.MERCHANT) -> str:
    """The code with which an appeal is refused, or nothing."""
    request = CreateAppeal(ruling_id=ruling_id, reason="no")
    try:
        async with store.transaction() as session:
            at = AT + timedelta(hours=hours)
            await authority.create_appeal(session, "m1/r1", request, by, f"{by.value}-1", at, WEEK)
    except Refusal as refusal:
        return refusal.code
    return ""


async def test_a_ruling_says_what_it_rests_on(store: Store) -> None:
    await _case(store)
    made = await _ruled(store)
    assert (made.ruled_by, made.at, made.overrules) == ("ann", AT, None)
    assert made.book is not None
    assert made.book.version == BOOK.version
    assert await _ruled(store) == made
    async with store.read() as session:
        assert await authority.rulings_of(session, "m1/r1") == (made,)
        assert await authority.rulings_of(session, "m1/r2") == ()


async def test_another_reviewer_overrules(store: Store) -> None:
    await _case(store)
    await _ruled(store)
    for by, before, code in (("ann", "u1", "same_reviewer"), ("bob", "none", "ruling_unknown")):
        with pytest.raises(Refusal) as refused:
            await _ruled(store, "u2", by, overrules=before)
        assert refused.value.code == code
    assert (await _ruled(store, "u2", "bob", outcome="merchant", overrules="u1")).overrules == "u1"


async def test_one_appeal_in_time(store: Store) -> None:
    await _case(store)
    await _ruled(store)
    await _ruled(store, "u2", "bob", overrules="u1")
    await _ruled(store, "u3", decides="authorization", outcome="uphold")
    await _ruled(store, "u4")
    await _told(store, "u1", "u2", "u3", "u4")
    assert await _appealed(store, "none") == "ruling_unknown"
    assert await _appealed(store, "u2") == "appealed_before"  # the ruling on an appeal is the last
    assert await _appealed(store, "u3") == "not_appealable"
    assert await _appealed(store, "u4", hours=7 * 24 + 0.01) == "appeal_late"
    assert await _appealed(store, "u1", hours=7 * 24) == ""
    assert await _appealed(store, "u1", hours=7 * 24 + 1) == ""  # the same again, however late
    assert await _appealed(store, "u1", by=Party.CONSUMER) == "appealed_before"
    async with store.transaction() as session:
        await authority.appeal_goes(session, "u1", "kept")
        await authority.drop_appeal(session, "u1")  # taken: it is not forgotten any more
    async with store.read() as session:
        row = await authority.find_appeal(session, "u1")
    assert row is not None
    assert (row.how, row.by, row.given_by) == ("kept", "merchant", "merchant-1")


async def _closed(store: Store, goes_by: str | None) -> None:
    """The case ends, and says by which ruling it goes."""
    async with store.transaction() as session:
        row = await cases.need(session, "m1/r1", lock=True)
        row.status = {"ruling_id": goes_by}
        session.add(row)
        await cases.close(session, "m1/r1", "refunded", AT)


async def test_after_the_close_only_what_the_case_goes_by_is_appealed(store: Store) -> None:
    """The ruling at the door had its place taken by the one at the receipt: what follows from that one stands."""
    await _case(store)
    for ruling_id in ("door", "receipt"):
        await _ruled(store, ruling_id)
    await _told(store, "door", "receipt")
    await _closed(store, "receipt")
    assert await _appealed(store, "door") == "not_appealable"
    assert await _appealed(store, "receipt", hours=7 * 24 + 1) == "appeal_late"
    assert await _appealed(store, "receipt") == ""
    async with store.read() as session:
        await authority.need_standing(session, "m1/r1", "receipt")
        with pytest.raises(Refusal):
            await authority.need_standing(session, "m1/r1", "door")


async def test_the_time_to_appeal_begins_when_both_sides_know(store: Store) -> None:
    """Not with the ruling; told again, it began with the first time, and the ruling is still the same one."""
    await _case(store)
    made = await _ruled(store)
    late = AT + timedelta(days=3)
    for at in (late, late + timedelta(days=1)):
        async with store.transaction() as session:
            assert await authority.note_told(session, "u1", "m1/r1", at) == late
    assert await _ruled(store) == made.model_copy(update={"told_at": late})
    with pytest.raises(Rejected) as unknown:
        await _told(store, "u2")
    assert unknown.value.code == "ruling_unknown"
    assert await _appealed(store, hours=10 * 24 + 0.01) == "appeal_late"
    assert await _appealed(store, hours=10 * 24) == ""


async def test_an_appeal_against_what_nobody_was_told_of_is_not_late(store: Store) -> None:
    await _case(store)
    await _ruled(store)
    assert await _appealed(store, hours=365 * 24) == ""


async def test_a_case_is_appealed_once(store: Store) -> None:
    """Whichever ruling it was against, and also after the close. One that the case did not take was none."""
    await _case(store)
    for ruling_id in ("door", "receipt"):
        await _ruled(store, ruling_id)
    assert await _appealed(store, "door") == ""
    assert await _appealed(store, "receipt") == ""  # nobody knows yet whether the case took the first
    async with store.transaction() as session:
        await authority.drop_appeal(session, "receipt")
        await authority.appeal_goes(session, "door", "dispute")
    assert await _appealed(store, "receipt") == "appealed_before"
    await _closed(store, "receipt")
    assert await _appealed(store, "receipt") == "appealed_before"
    assert await _appealed(store, "door") == ""  # the same again
