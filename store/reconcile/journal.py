"""Invariants 1, 2, 11 and 12: the journal in itself, against the effects, between the books, and in batches."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlmodel import col, select

from backhaul.facts import digest
from store import ledger
from store.reconcile.look import Books, Finding, amount
from store.tables import BatchRow, CutRow, EffectRow, EntryRow, JournalHeadRow

MOVES = {
    "refund": ("J21",),
    "advance": ("J34",),
    "settlement": ("J70",),
    "freight_payment": ("J12", "J13"),
    "funding": ("J32",),
    "remittance": ("J42",),
    "alternate": ("J61",),
    "claimed": ("J63",),
    "charge": ("J51",),
    "set_off": ("J41",),
    "recovery_return": ("J45",),
}
"""Effects that move money under their key, by kind, and the entries that say so."""
_HASHED = 500


async def entries_balance(books: Books) -> AsyncIterator[Finding]:
    """1: every entry balances per book and currency; nothing was changed or removed; a reversal mirrors its entry."""
    unbalanced = """
        SELECT e.entry_key, l.book, l.currency, sum({net}) AS off, min(l.minor) AS least
        FROM journal_lines l JOIN journal_entries e ON e.sequence = l.sequence
        WHERE l.sequence > :after AND l.sequence <= :upto
        GROUP BY e.entry_key, l.book, l.currency HAVING sum({net}) <> 0 OR min(l.minor) <= 0"""
    async for key, book, currency, off, least in books.found(EntryRow.sequence, unbalanced):
        found = amount(off, currency) if off else f"a line of {least}"
        yield Finding(1, "unbalanced", f"{key} {book}", amount(0, currency), found, int(off), currency)
    head = (await books.session.exec(select(JournalHeadRow.last).where(JournalHeadRow.id == 1))).first() or 0
    for count, last in await books.rows("SELECT count(*), coalesce(max(sequence), 0) FROM journal_entries"):
        if (count, last) != (head, head):
            yield Finding(1, "entries_missing", "journal", f"{head} entries", f"{count}, the last is {last}")
    async for finding in _unchanged(books):
        yield finding
    async for finding in _mirrored(books):
        yield finding


async def _unchanged(books: Books) -> AsyncIterator[Finding]:
    """What an entry says now is what was hashed when it was posted."""
    after = 0
    while True:
        page = await ledger.find(books.session, after=after, limit=_HASHED)
        if not page:
            return
        after = page[-1].sequence
        heads = select(EntryRow.sequence, EntryRow.content_hash).where(
            col(EntryRow.sequence) >= page[0].sequence, col(EntryRow.sequence) <= after
        )
        kept = dict((await books.session.exec(heads)).all())
        for posted in page:
            content = digest(posted.entry.model_dump(mode="json", exclude_none=True))
            if content != kept[posted.sequence]:
                yield Finding(1, "entry_changed", posted.entry.key, kept[posted.sequence][:12], content[:12])


async def _mirrored(books: Books) -> AsyncIterator[Finding]:
    """A reversal and its entry add up to nothing on every account."""
    pairs = """
        SELECT entry_key, account, currency, sum(net) FROM (
            SELECT r.entry_key, l.account, l.currency, {net} AS net
            FROM journal_entries r JOIN journal_lines l ON l.sequence = r.sequence
            WHERE r.reverses > :after AND r.reverses <= :upto
            UNION ALL
            SELECT r.entry_key, l.account, l.currency, {net}
            FROM journal_entries r JOIN journal_entries o ON o.entry_key = r.reverses
            JOIN journal_lines l ON l.sequence = o.sequence WHERE r.reverses > :after AND r.reverses <= :upto
        ) AS pair GROUP BY entry_key, account, currency HAVING sum(net) <> 0"""
    async for key, account, currency, off in books.found(EntryRow.reverses, pairs):
        yield Finding(1, "reversal_differs", f"{key} {account}", amount(0, currency), amount(off, currency), int(off))


async def keys_used_once(books: Books) -> AsyncIterator[Finding]:
    """2: per payment key one success: an effect that succeeded has its one entry, an entry its effect, both agree."""
    entries = """
        SELECT e.payment_key, e.template, count(DISTINCT e.sequence) AS entries, max(l.minor) AS posted,
            min(l.currency) AS currency, f.state, f.amount_minor, f.currency AS asked_in
        FROM journal_entries e JOIN journal_lines l ON l.sequence = e.sequence
        LEFT JOIN effects f ON f.key = e.payment_key
        WHERE e.payment_key > :after AND e.payment_key <= :upto AND e.reverses IS NULL
            AND e.template IN ('J12', 'J13', 'J21', 'J32', 'J34', 'J42', 'J61', 'J63', 'J70')
        GROUP BY e.payment_key, e.template, f.state, f.amount_minor, f.currency"""
    async for key, template, count, posted, currency, state, asked, asked_in in books.found(
        EntryRow.payment_key, entries
    ):
        if count > 1:
            yield Finding(2, "paid_twice", key, f"one {template}", f"{count}", int(posted) * (count - 1), currency)
        if state != "succeeded":
            yield Finding(
                2, "entry_without_effect", key, f"an effect for {template}", state or "none", posted, currency
            )
        elif (asked, asked_in) != (posted, currency):
            said = amount(asked, asked_in)
            yield Finding(2, "entry_differs", key, said, amount(posted, currency), posted - asked, currency)
    effects = """
        SELECT f.key, f.kind, f.amount_minor, f.currency FROM effects f
        WHERE f.key > :after AND f.key <= :upto AND f.state = 'succeeded' AND f.amount_minor > 0
            AND NOT EXISTS (SELECT 1 FROM journal_entries e WHERE e.payment_key = f.key)"""
    async for key, kind, minor, currency in books.found(EffectRow.key, effects):
        if kind in MOVES:
            wanted = " or ".join(MOVES[kind])
            yield Finding(
                2, "effect_without_entry", key, f"{wanted} of {amount(minor, currency)}", "none", minor, currency
            )


async def books_agree(books: Books) -> AsyncIterator[Finding]:
    """11: P2030 = I1100, and P1120 = I2210 over the claims that the platform pays out; at each cut, and now."""
    pairs = """
        SELECT l.currency,
            sum(CASE WHEN l.account IN ('P2030', 'I1100') THEN {net} ELSE 0 END) AS premium,
            sum(CASE WHEN l.account = 'P1120' OR l.account = 'I2210' AND EXISTS (
                    SELECT 1 FROM claims c WHERE c.claim_ref = l.party AND c.kind = 'loss')
                THEN {net} ELSE 0 END) AS claims
        FROM journal_lines l WHERE l.sequence > :after AND l.sequence <= :upto
            AND l.account IN ('P2030', 'I1100', 'P1120', 'I2210') GROUP BY l.currency"""
    cuts = (await books.session.exec(select(CutRow.sequence, CutRow.cut).order_by(col(CutRow.sequence)))).all()
    open_now = (await books.session.exec(select(JournalHeadRow.last).where(JournalHeadRow.id == 1))).first() or 0
    off: dict[tuple[str, str], int] = {}
    after = 0
    for sequence, name in [*cuts, (open_now, "now")]:
        books.looked += 1
        for currency, premium, claims in await books.rows(pairs, after=after, upto=sequence):
            off["P2030 = I1100", currency] = off.get(("P2030 = I1100", currency), 0) + int(premium)
            off["P1120 = I2210", currency] = off.get(("P1120 = I2210", currency), 0) + int(claims)
        for (pair, currency), minor in off.items():
            if minor:
                yield Finding(
                    11, "books_differ", f"{pair} at {name}", amount(0, currency), amount(minor, currency), minor
                )
        after = max(after, sequence)


async def batches_add_up(books: Books) -> AsyncIterator[Finding]:
    """12: a batch is the sum of its legs, its closing entries bring it to zero, and every leg is its line on P2000."""
    sums = """
        SELECT b.batch, b.currency, b.net_minor, b.netted_minor, b.payout_minor, b.state,
            coalesce((SELECT sum(g.minor) FROM settlement_legs g WHERE g.batch = b.batch), 0) AS legs,
            coalesce((SELECT sum({net}) FROM journal_entries e JOIN journal_lines l ON l.sequence = e.sequence
                WHERE e.batch = b.batch AND l.account = 'P2000' AND l.currency = b.currency), 0) AS closed
        FROM settlement_batches b WHERE b.batch > :after AND b.batch <= :upto"""
    async for batch, currency, net, netted, payout, state, legs, closed in books.found(BatchRow.batch, sums):
        rest = payout if state == "formed" else 0
        if int(legs) != net:
            said = amount(legs, currency)
            yield Finding(12, "batch_differs", batch, said, amount(net, currency), net - int(legs), currency)
        if net - int(closed) != rest:
            left = amount(net - int(closed), currency)
            yield Finding(
                12, "batch_not_closed", batch, amount(rest, currency), left, net - int(closed) - rest, currency
            )
        if payout != max(net - netted, 0):
            yield Finding(12, "payout_differs", batch, amount(net - netted, currency), amount(payout, currency))
    legs_of = """
        SELECT e.entry_key, l.position, l.currency, -({net}) AS owed, g.minor
        FROM journal_lines l JOIN journal_entries e ON e.sequence = l.sequence
        LEFT JOIN settlement_legs g ON g.sequence = l.sequence AND g.position = l.position
        WHERE l.sequence > :after AND l.sequence <= :upto AND l.account = 'P2000' AND e.batch IS NULL
            AND (g.minor IS NULL OR g.minor <> -({net}) OR g.currency <> l.currency)"""
    async for key, position, currency, owed, minor in books.found(EntryRow.sequence, legs_of):
        said = "none" if minor is None else amount(minor, currency)
        yield Finding(
            12, "leg_differs", f"{key} line {position}", amount(owed, currency), said, int(owed) - (minor or 0)
        )
