"""Invariants 13, 14 and 16: who approved what, which key followed which, and by which book it was decided."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlmodel import col, select

from backhaul.errors import Rejected
from backhaul.facts import BookRef, CoverKind, Risk
from backhaul.ids import previous_key
from backhaul.money import Money
from store.authority import binding
from store.effects import GIVEN_UP
from store.reconcile.journal import MOVES
from store.reconcile.look import Books, Finding, amount
from store.recoveries import IN_PARTS, SET_OFF
from store.tables import ApprovalRow, CaseRow, CoverageRow, DecisionRow, EffectRow

BY_COVER = {
    "freight_benefit": CoverKind.RFI.value,
    "indemnity": CoverKind.RDV.value,
    "payout_authority": CoverKind.RDV.value,
}
"""Decisions on cover and amounts: they follow the book at which this cover was bound, all others the case's."""


async def approved_by_another(books: Books) -> AsyncIterator[Finding]:
    """13: preparer and approver differ; an approval is used for what it says; above the limit there is one."""
    async for window in books.windows(ApprovalRow.approval_id):
        some = select(ApprovalRow).where(
            col(ApprovalRow.approval_id) > window["after"], col(ApprovalRow.approval_id) <= window["upto"]
        )
        for row in await books.session.exec(some):
            if row.prepared_by == row.approved_by:
                yield Finding(13, "same_person", row.approval_id, "two people", row.approved_by)
            says = binding(row.case_key, row.subject, Money(minor=row.amount_minor, currency=row.currency), row.payee)
            if row.binding != says:
                yield Finding(13, "approval_changed", row.approval_id, row.binding[:12], says[:12])
    used = """
        SELECT a.approval_id, a.used_by, a.amount_minor, a.currency, a.payee, f.amount_minor, f.currency, f.payee
        FROM approvals a JOIN effects f ON f.key = a.used_by WHERE a.approval_id > :after AND a.approval_id <= :upto
            AND (f.amount_minor <> a.amount_minor OR f.currency <> a.currency OR f.payee <> a.payee)"""
    async for ref, key, minor, currency, payee, did, did_in, paid in books.found(ApprovalRow.approval_id, used):
        said = f"{amount(did, did_in)} to {paid} ({key})"
        yield Finding(13, "approval_misused", ref, f"{amount(minor, currency)} to {payee}", said, did - minor, currency)
    async for finding in _above_limit(books):
        yield finding
    async for finding in _founded(books):
        yield finding


async def _above_limit(books: Books) -> AsyncIterator[Finding]:
    """Advances of a case to one payee, summed: what goes above the limit of the cover's book has an approval."""
    if books.library is None:
        return
    rows = """
        SELECT f.key, f.case_key, f.payee, f.amount_minor, f.currency, f.approval_id, v.book_version, v.book_hash
        FROM effects f JOIN settlement_batches b ON b.payout_key = f.key
        JOIN settlement_legs g ON g.batch = b.batch JOIN claims c ON c.claim_ref = g.claim_ref
        JOIN coverages v ON v.coverage_id = c.coverage_id
        WHERE f.case_key > :after AND f.case_key <= :upto AND f.kind = 'advance' AND f.state = 'succeeded'
        ORDER BY f.created_at, f.key"""
    total: dict[tuple[str, str], int] = {}
    async for key, case, payee, minor, currency, approval, version, content in books.found(EffectRow.case_key, rows):
        try:
            limit = books.library.get(BookRef(version=version, hash=content)).rdv.authority_limit.minor
        except Rejected:
            continue  # 16 finds it
        total[case, payee] = total.get((case, payee), 0) + minor
        if total[case, payee] > limit and approval is None:
            said = f"{amount(total[case, payee], currency)} without"
            yield Finding(13, "unapproved", key, f"an approval above {amount(limit, currency)}", said, minor, currency)


async def _founded(books: Books) -> AsyncIterator[Finding]:
    """Every decision names the hash of its facts and its book by version and hash."""
    rows = """
        SELECT d.case_key, d.seq, d.decision FROM decisions d WHERE d.case_key > :after AND d.case_key <= :upto
            AND (length(d.facts_hash) <> 64 OR length(d.book_hash) <> 64 OR d.book_version = '')"""
    async for case, seq, decision in books.found(DecisionRow.case_key, rows):
        yield Finding(13, "unfounded", f"{case} {seq}", f"{decision} with book and facts", "without")


async def keys_rise_on_proof(books: Books) -> AsyncIterator[Finding]:
    """14: a payment key's n rises only after the attempt before it was proved terminal: failed, never unknown.

    A charge and a set-off go on also after a part."""
    async for window in books.windows(EffectRow.key):
        some = select(EffectRow.key, EffectRow.kind).where(
            col(EffectRow.key) > window["after"], col(EffectRow.key) <= window["upto"]
        )
        later = {}
        for key, kind in await books.session.exec(some):
            rises = kind == SET_OFF or (kind in MOVES and key.rpartition(":")[2].isdigit())
            before_it = previous_key(key) if rises else None
            if before_it is not None:
                later[before_it] = key, kind
        if not later:
            continue
        before = select(EffectRow.key, EffectRow.state, EffectRow.code).where(col(EffectRow.key).in_(sorted(later)))
        states = {
            key: "given up by a second person" if state == "failed" and code == GIVEN_UP else state
            for key, state, code in await books.session.exec(before)
        }
        for key, (follower, kind) in later.items():
            state = states.get(key)
            if state == "succeeded" and kind in IN_PARTS:
                continue  # what got a part has ended; the rest is a new one
            if state != "failed":
                yield Finding(14, "key_after_unknown", follower, f"{key} failed", state or "never begun")


async def decided_by_its_book(books: Books) -> AsyncIterator[Finding]:
    """16: cover and amounts by the book at binding, procedure by the book at request; and both are known here."""
    async for window in books.windows(CaseRow.case_key):
        inside = (col(DecisionRow.case_key) > window["after"], col(DecisionRow.case_key) <= window["upto"])
        of_window = (col(CaseRow.case_key) > window["after"], col(CaseRow.case_key) <= window["upto"])
        found = await books.session.exec(select(CaseRow).where(*of_window))
        cases = {case.case_key: case for case in found}
        covers = select(CaseRow.case_key, CoverageRow).where(
            col(CoverageRow.order_id) == col(CaseRow.order_id),
            col(CoverageRow.bound_at) <= col(CaseRow.opened_at),
            *of_window,
        )
        bound: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for key, cover in await books.session.exec(covers):
            bound.setdefault((key, cover.kind), set()).add((cover.book_version, cover.book_hash))
        for one in cases.values():
            if (finding := _known(books, one)) is not None:
                yield finding
        for row in await books.session.exec(select(DecisionRow).where(*inside)):
            decided = cases.get(row.case_key)
            if decided is None:
                continue
            own = {(decided.book_version, decided.book_hash)}
            kind = BY_COVER.get(row.decision)
            refused = (decided.judgement or {}).get("risk") == Risk.DENY  # no cover is in force for such a case (4.6)
            wanted = own if kind is None or refused else bound.get((row.case_key, kind)) or own
            if (row.book_version, row.book_hash) not in wanted:
                books_wanted = ", ".join(sorted(version for version, _ in wanted))
                yield Finding(
                    16, "other_book", f"{row.case_key} {row.seq} {row.decision}", books_wanted, row.book_version
                )


def _known(books: Books, case: CaseRow) -> Finding | None:
    if books.library is None:
        return None
    try:
        books.library.get(BookRef(version=case.book_version, hash=case.book_hash))
    except Rejected:
        return Finding(16, "unknown_book", case.case_key, "a book of this release", case.book_version)
    return None
