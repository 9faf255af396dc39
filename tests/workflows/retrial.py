"""A case decided again by its own books comes to what its journal says. Which sums equal which figure is in
docs/reference/backtest.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from backhaul.backtests import Known
from backhaul.ledger import Account, I, JournalEntry, P, Side
from backhaul.policy.backtest import Books, Story, redecide
from backhaul.policy.library import Library, load_library
from store import backtests, ledger
from store.ledger import Posted
from tests.workflows.world import World

_OLDER_PARCEL = "the story posts freight of an older parcel on the case by hand"
NOT_COMPARABLE: Mapping[str, str] = {
    "carrier_stays_silent": _OLDER_PARCEL,
    "set_off_given_up": _OLDER_PARCEL,
    "carrier_accepts_and_does_not_pay": _OLDER_PARCEL,
    "carrier_accepts_a_part": _OLDER_PARCEL,
    "carrier_pays_in_time": _OLDER_PARCEL,
    "scanned_during_the_close": "no rule of a book decides on a visit that was made after the case had ended",
    "scanned_after_the_close": "no rule of a book decides on a visit that was made after the case had ended",
}
"""Stories whose journal no book accounts for, and why. The cases of every other story come out as they did."""
NEVER_COUNTED = frozenset({"open", "correction_open"})


async def differences_of(world: World, library: Library | None = None) -> list[str]:
    """Where the world's cases, decided again by their own books, differ from their journals."""
    library = library or load_library()
    async with world.store.look() as session:
        page = await backtests.stories(session, backtests.Wanted())
        found: list[str] = []
        for story in page.stories:
            entries = await ledger.entries_of(session, f"{story.merchant_id}/{story.rma_id}")
            found += _compared(story, library, entries)
    assert page.next is None
    return found


def _compared(story: Story, library: Library, posted: Iterable[Posted]) -> list[str]:
    again = redecide(story, Books(library.get(story.book), library.get))
    if again.known is not Known.KNOWN:
        return [] if again.why in NEVER_COUNTED else [f"{story.rma_id}: {again.known.value}, {again.why}"]
    now = {name: amount.minor for name, amount in again.amounts.items()}
    was = figures_of(posted)
    said = [f"{story.rma_id} {name}: again {now[name]}, posted {was[name]}" for name in now if now[name] != was[name]]
    if again.outcome != story.outcome and story.outcome not in {"unclaimed", "closed_by_operator"}:
        said.append(f"{story.rma_id}: again {again.outcome}, ended {story.outcome}")
    first = next((one.entry.template for one in posted if one.entry.template in {"J20", "J23"}), None)
    lightning = first == "J20"  # after an ordinary refund it is of goods that went back
    if lightning != again.lightning:
        said.append(f"{story.rma_id}: lightning again {again.lightning}")
    return said


def figures_of(posted: Iterable[Posted]) -> dict[str, int]:
    """The figures of a case by its journal, minor units."""
    entries = [one.entry for one in posted]
    refund_payable = _net(entries, P.REFUND_PAYABLE, "J21", "J60", "J61", "J62")
    paid_by_consumer = -_net(entries, P.CONSUMER_RECEIVABLE, "J51")
    given_back = min(-_net(entries, P.REFUND_PAYABLE, "J45"), paid_by_consumer)
    owed_besides = -_net(entries, P.REFUND_PAYABLE, "J16", "J80") + given_back
    charge = ("J22", "J23", "J82")
    return {
        "refund": refund_payable - owed_besides,
        "charged": _net(entries, P.MERCHANT_PAYABLE, *charge) + _net(entries, P.COMMISSION, *charge),
        "indemnity": -_net(entries, P.MERCHANT_PAYABLE, "J31", "J75", "J75b"),
        "freight_insurer": _net(entries, I.CLAIMS_PAYABLE, "J12", "J13"),
        "freight_merchant": _net(entries, P.MERCHANT_PAYABLE, "J14", "J16"),
        "freight_consumer": _net(entries, P.CONSUMER_RECEIVABLE, "J14"),
    }


def _net(entries: Iterable[JournalEntry], account: Account, *templates: str) -> int:
    return sum(
        one.total(account, Side.DEBIT) - one.total(account, Side.CREDIT) for one in entries if one.template in templates
    )
