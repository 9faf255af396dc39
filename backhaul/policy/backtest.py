"""A stored case decided again by other books: the same facts, the same words of people, other rules. Domain 4.

What was known stays: the facts of every step, inspections, rulings, what the merchant said or did not say, what the
courier reported and the insurer answered. Where a book would have asked somebody who was never asked, the case ends
there as unknown: nothing is invented. Every case is decided alone: what one takes of a credit line or of a cover
shared with others stays as it was. Waits are not replayed, but for the one after which the receipt is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backhaul.backtests import CaseBacktest, DecisionView, Figures, Known
from backhaul.facts import BookRef, CaseFacts, CoverKind, Inspection, Liable, LineFacts, Method, Risk, Verdict
from backhaul.money import Money
from backhaul.policy.book import PolicyBook
from backhaul.policy.consequences import Consequences
from backhaul.policy.differences import rules_that_differ
from backhaul.policy.freight import FreightBenefit, Share, chargeable_g, freight_amount, freight_benefit, share_out
from backhaul.policy.indemnity import payout_authority
from backhaul.policy.judging import Judged, judged
from backhaul.policy.library import Library, UnknownBook
from backhaul.policy.lightning import lightning_gate
from backhaul.policy.refunds import LineRefund, RefundValue, partial_refund, refund_value
from backhaul.policy.risk import under_risk
from backhaul.policy.settling import (
    PAID_FOR,
    RETURNED,
    SILENCE,
    Heard,
    Liability,
    Loss,
    fix,
    fix_again,
    given_back,
    indemnity_decided,
    loss_of,
    uncovered,
    undisputed_value,
    who_is_liable,
)
from backhaul.policy.settling import Judged as Found

REFUNDED, NOT_REFUNDED, DECLINED, ENDS_DECLINED = "refunded", "not_refunded", "declined", "ends_declined"


@dataclass(frozen=True)
class Books:
    """The books of a trial: one for procedure, and for each cover the one that its amounts follow."""

    procedure: PolicyBook
    cover: Callable[[BookRef], PolicyBook]

    @classmethod
    def all_by(cls, book: PolicyBook) -> Books:
        """One book for everything."""
        return cls(book, lambda _: book)

    @classmethod
    def own(cls, story: Story, library: Library) -> Books | None:
        """The books that the case itself went by. None: the library has its book no more."""
        try:
            return cls(library.get(story.book), library.get)
        except UnknownBook:
            return None

    def of_cover(self, facts: CaseFacts, kind: CoverKind) -> PolicyBook:
        """Invariant 16; without cover the case's own."""
        cover = facts.cover(kind)
        return self.procedure if cover is None else self.cover(cover.book)


@dataclass(frozen=True)
class Claimed:
    """What the insurer answered to a claim. `approved` 0 where it was denied, given up or never made."""

    kind: str
    claimed: Money
    approved: Money
    appealed: bool = False


@dataclass(frozen=True)
class Parcel:
    """What shared a waybill: the lines of each case (by rma_id), the zone, what the cover had left before."""

    on_board: Mapping[str, tuple[LineFacts, ...]]
    zone: str | None
    left: Money


@dataclass(frozen=True)
class Settled:
    """The settlement: its facts, how the goods ended up, who is liable. `remaining`: of RDV, own claims apart."""

    facts: CaseFacts
    at: datetime
    event: str
    found: Liability
    receipt: Inspection | None = None
    delivered_at: datetime | None = None
    remaining: Money | None = None


@dataclass(frozen=True)
class Again:
    """What was settled anew, on other knowledge: a fact, as a ruling is."""

    facts: CaseFacts
    found: Liability
    remaining: Money | None = None

    @property
    def went_back(self) -> bool:
        """Did a parcel that was lost come back to the consumer?"""
        return self.found.lost and self.found.liable is Liable.CONSUMER


@dataclass(frozen=True)
class Scanned:
    """What was known of goods that travelled. `share` and `remaining` are of the freight as it was shared then."""

    facts: CaseFacts
    at: datetime
    door: Inspection | None = None
    cancelled: bool = False
    credit_refused: bool = False
    share: Money | None = None
    remaining: Money | None = None
    parcel: Parcel | None = None
    undisputed: CaseFacts | None = None
    settled: Settled | None = None
    again: tuple[Again, ...] = ()


@dataclass(frozen=True)
class Story:
    """Everything that was known of a case. `refused`: the merchant said no to the request; `went_on`: it passed."""

    merchant_id: str
    rma_id: str
    order_id: str
    opened_at: datetime
    book: BookRef
    facts: CaseFacts
    first: str
    outcome: str | None
    zone: str | None = None
    may_decline: bool = True
    platform: bool = False
    offer: Money | None = None
    risk: Risk = Risk.ALLOW
    refused: bool = False
    went_on: bool = True
    correcting: bool = False
    granted: tuple[str, CaseFacts] | None = None
    scan: Scanned | None = None
    claims: tuple[Claimed, ...] = ()

    @property
    def currency(self) -> str:
        """Of the order."""
        return self.facts.lines[0].paid.currency


class _Unknown(Exception):
    """The book asks somebody who was never asked."""


@dataclass
class _Tally:
    """What a trial has come to so far, minor units."""

    currency: str
    verdicts: list[Verdict] = field(default_factory=list)
    money: dict[str, Money] = field(default_factory=dict)
    lightning: bool = False
    float_s: int | None = None

    def figures(self, outcome: str, known: Known = Known.KNOWN, why: str = "") -> Figures:
        zero = Money.zero(self.currency)
        amounts = {name: self.money.get(name, zero) if known is Known.KNOWN else zero for name in _NAMES}
        decisions = tuple(view_of(one) for one in self.verdicts)
        denied = outcome in (DECLINED, ENDS_DECLINED)
        if outcome in (REFUNDED, NOT_REFUNDED):
            outcome = REFUNDED if amounts["refund"] else NOT_REFUNDED
        return Figures(
            outcome=outcome,
            known=known,
            why=why,
            **amounts,
            denied=denied,
            lightning=self.lightning,
            float_s=self.float_s if amounts["refund"] else None,
            decisions=decisions,
        )


_NAMES = ("refund", "charged", "indemnity", "freight_insurer", "freight_merchant", "freight_consumer")


def compare(story: Story, before: Books | None, after: Books) -> CaseBacktest:
    """One case under two sets of books; without the first it cannot be compared."""
    one, other = redecide(story, before), redecide(story, after)
    comparable = Known.NOT_COMPARABLE not in (one.known, other.known)
    return CaseBacktest(
        merchant_id=story.merchant_id,
        rma_id=story.rma_id,
        order_id=story.order_id,
        opened_at=story.opened_at,
        outcome=story.outcome,
        before=one,
        after=other,
        rules=rules_that_differ(one, other) if comparable else (),
    )


def redecide(story: Story, books: Books | None) -> Figures:
    """What the case comes to under these books. Never raises for a case: one that cannot be decided says why."""
    tally = _Tally(story.currency)
    why = "unknown_book" if books is None else _not_comparable(story, books)
    if books is None or why is not None:
        return tally.figures(story.outcome or "open", Known.NOT_COMPARABLE, why or "")
    try:
        return tally.figures(_retry(story, books, tally))
    except _Unknown as question:
        return tally.figures("unknown", Known.UNKNOWN_AFTER, str(question))
    except UnknownBook as unknown:
        return tally.figures(story.outcome or "open", Known.NOT_COMPARABLE, unknown.code)
    except ValueError as broken:
        return tally.figures(story.outcome or "open", Known.NOT_COMPARABLE, getattr(broken, "code", "invalid_input"))


def view_of(one: Verdict) -> DecisionView:
    """A verdict as a backtest shows it."""
    return DecisionView(
        decision=one.decision, outcome=one.outcome, reasons=one.reasons, rules=one.rules, numbers=one.numbers
    )


def _not_comparable(story: Story, books: Books) -> str | None:
    if story.outcome is None:
        return "open"
    if story.correcting:
        return "correction_open"
    # A request that was refused for its currency is refused for it again.
    other = story.currency != books.procedure.currency and story.first != DECLINED
    return "currency_mismatch" if other else None


def _retry(story: Story, books: Books, tally: _Tally) -> str:
    """The case from its request to its end; how it ended."""
    said = judged(story.facts, books.procedure, story.zone)
    tally.verdicts += said.verdicts
    if not _goes_on(story, said):
        return DECLINED if story.outcome == DECLINED else ENDS_DECLINED
    if story.granted is not None:
        _grant(*story.granted, story, said, tally)
    elif story.went_on and said.offer is not None and (story.offer is None or said.offer > story.offer):
        raise _Unknown("offer")
    if story.scan is not None:
        _collect(story, story.scan, said, books, tally)
    return story.outcome or ""


def _goes_on(story: Story, said: Judged) -> bool:
    """Does the request go the way it went? False: the book refuses it. Raises where it goes another way."""
    if said.outcome != story.first:
        if said.outcome == DECLINED:
            return False
        if said.outcome == "authorized" and story.went_on:
            return True
        raise _Unknown(said.outcome)
    if story.refused and not story.facts.remedy.is_return and said.platform != story.platform:
        if said.platform:
            raise _Unknown("arbitration")
        return False  # what the merchant refused stays refused: nobody may force it
    if story.refused and story.may_decline and not said.may_decline:
        raise _Unknown("merchant_review")
    return True


def _grant(what: str, facts: CaseFacts, story: Story, said: Judged, tally: _Tally) -> None:
    """J82 of an offer that was accepted, J23 of the money alone."""
    if what == "offer":
        if said.offer is None or said.offer != story.offer:
            raise _Unknown("offer")  # another offer, or none: nobody knows what the consumer would have said
        value = partial_refund(facts, said.offer)
    else:
        value = refund_value(facts)
    tally.money |= {"refund": value.total, "charged": value.total}


# ---- the way back ---------------------------------------------------------------------------------------------------


def _collect(story: Story, scan: Scanned, said: Judged, books: Books, tally: _Tally) -> None:
    facts = _under(story, said, scan.facts)
    benefit = _freight(story, scan, facts, books, tally)
    gate = lightning_gate(
        facts,
        refund_value(facts).total,
        True,
        None if scan.door is None else scan.door.result,
        books.procedure,
        cancelled=scan.cancelled,
    )
    tally.verdicts.append(gate)
    tally.lightning = gate.yes and not scan.credit_refused
    if scan.settled is not None:
        _settle(story, scan, scan.settled, said, benefit, books, tally)
    elif tally.lightning:
        raise _Unknown("lightning")  # the consumer had the money before they took the goods back
    else:
        value, taken = _undisputed(story, scan, said, benefit, books)
        tally.money |= {"refund": value.total - taken, "charged": value.total}


def _under(story: Story, said: Judged, facts: CaseFacts) -> CaseFacts:
    """The facts of a later step under what the risk rules say now: cover that they had refused is there again."""
    if story.risk is Risk.DENY and not facts.covers:
        facts = facts.model_copy(update={"covers": story.facts.covers})
    return under_risk(facts, said.risk)


def _freight(story: Story, scan: Scanned, facts: CaseFacts, books: Books, tally: _Tally) -> FreightBenefit:
    book = books.of_cover(facts, CoverKind.RFI)
    share, left, tariff = scan.share, scan.remaining, None
    if facts.method is Method.SELF_SHIP:
        tariff = freight_amount(chargeable_g(facts.lines, book), story.zone, book)
    elif scan.parcel is not None:
        _, shares = share_out(scan.parcel.on_board, scan.parcel.zone, scan.parcel.left, book)
        mine = shares.get(story.rma_id) or Share(share=Money.zero(book.currency), remaining=scan.parcel.left)
        share, left = mine.share, mine.remaining
    benefit = freight_benefit(facts, share, left, book, tariff)
    tally.verdicts.append(benefit.verdict)
    answered = [one for one in story.claims if one.kind == "freight"]
    if benefit.insured and not answered:
        raise _Unknown("insurer_decision")
    denied = benefit.insured and not any(one.approved for one in answered)
    tally.money |= {
        "freight_insurer": Money.zero(book.currency) if denied else benefit.insured,
        "freight_merchant": benefit.merchant_owes + benefit.merchant_reimburses,
        "freight_consumer": benefit.consumer_owes,
    }
    return benefit


# ---- the settlement -------------------------------------------------------------------------------------------------


def _settle(
    story: Story,
    scan: Scanned,
    settled: Settled,
    said: Judged,
    benefit: FreightBenefit,
    books: Books,
    tally: _Tally,
) -> None:
    granted, freight_due = tally.lightning, benefit.consumer_owes
    part: tuple[LineRefund, ...] | None = None
    if granted:
        paid = refund_value(scan.facts).total
    else:
        value, taken = _undisputed(story, scan, said, benefit, books)
        part = value.lines if scan.undisputed is not None else None
        freight_due, paid = freight_due - taken, value.total - taken
    facts = _with_limit(_under(story, said, settled.facts), settled.remaining)
    found, loss = _found(scan, settled, facts, said.risk, books, tally)
    due = _due(story, found, loss, books, facts, tally)
    result, charge = fix(facts, found, loss, due, granted, freight_due, part, books.procedure)
    paid = paid + result.refund_now
    charged: tuple[LineRefund, ...] = (*(part or ()), *charge.lines)
    for later in scan.again:
        advanced = not granted and later.went_back  # what was refunded is owed from here on
        granted, kept = granted or advanced, result.withhold
        result, lines, due = _settle_again(story, later, said, books, tally, granted, charged, result)
        charged, paid = (*charged, *lines), paid + (kept if advanced else result.refund_now)
    tally.money |= {"refund": paid, "charged": result.merchant_charge, "indemnity": due}
    tally.float_s = 0 if granted else _waited(story, scan, settled, books)


def _undisputed(
    story: Story, scan: Scanned, said: Judged, benefit: FreightBenefit, books: Books
) -> tuple[RefundValue, Money]:
    """What left while a finding was disputed, and the freight that was taken from it; nothing where none was."""
    zero = Money.zero(story.currency)
    if scan.undisputed is None or scan.door is None:
        return RefundValue(lines=(), total=zero, commission=zero), zero
    early = _under(story, said, scan.undisputed)
    value = undisputed_value(early, scan.door.findings, books.of_cover(early, CoverKind.RDV))
    return value, benefit.consumer_owes.at_most(value.total)


def _settle_again(
    story: Story,
    later: Again,
    said: Judged,
    books: Books,
    tally: _Tally,
    granted: bool,
    charged: Sequence[LineRefund],
    before: Consequences,
) -> tuple[Consequences, tuple[LineRefund, ...], Money]:
    facts = _with_limit(_under(story, said, later.facts), later.remaining)
    loss = loss_of(facts, later.found, books.of_cover(facts, CoverKind.RDV))
    if later.went_back:
        loss = given_back(loss)
    _tell_indemnity(later.found, loss, tally)
    due = _due(story, later.found, loss, books, facts, tally)
    result, charge = fix_again(facts, later.found, loss, due, granted, charged, before.withhold, books.procedure)
    return result, charge.lines, due


def _found(
    scan: Scanned, settled: Settled, facts: CaseFacts, risk: Risk, books: Books, tally: _Tally
) -> tuple[Liability, Loss]:
    """Who is liable, and for how much. A ruling is a fact; where one would have been needed, nobody knows."""
    cover_book = books.of_cover(facts, CoverKind.RDV)
    if settled.found.ruled:
        found = settled.found
        loss = loss_of(facts, found, cover_book)
    else:
        # No person ruled on it: an objection that was settled so came with evidence.
        heard = Heard(settled.event, scan.door, settled.receipt, settled.delivered_at, evidence=True)
        said = _heard_in_time(heard, facts, risk, books)
        loss = loss_of(facts, said.found, cover_book)
        said = uncovered(said, loss, claimed=False)
        tally.verdicts += said.verdicts
        found = said.found
    if settled.event == RETURNED and not settled.found.ruled:
        loss = given_back(loss)
    _tell_indemnity(found, loss, tally)
    if found.liable is Liable.UNDETERMINED:
        raise _Unknown("ruling")
    return found, loss


def _tell_indemnity(found: Liability, loss: Loss, tally: _Tally) -> None:
    """What the cover pays, before the insurer had its say."""
    said = indemnity_decided(found, loss, loss.payable)
    if said is not None:
        tally.verdicts.append(said)


def _heard_in_time(heard: Heard, facts: CaseFacts, risk: Risk, books: Books) -> Found:
    """An objection after the receipt was accepted by silence is another story (X11)."""
    if heard.receipt is not None and heard.delivered_at is not None:
        accepted = heard.delivered_at + books.procedure.timers.receipt_silence
        if heard.objection and heard.receipt.at > accepted:
            raise _Unknown("receipt_silence")
    return who_is_liable(heard, facts, risk, books.procedure)


def _due(story: Story, found: Liability, loss: Loss, books: Books, facts: CaseFacts, tally: _Tally) -> Money:
    """What the merchant is indemnified: what the cover pays, as far as the insurer agreed. It agrees again to what it
    agreed to in full; what it denied or cut stays so; what it was never asked, nobody knows."""
    due = loss.payable if found.liable in PAID_FOR else Money.zero(loss.total.currency)
    if not due:
        return due
    answers = [one for one in story.claims if one.kind == "loss" and not one.appealed]
    if not answers:
        raise _Unknown("insurer_decision")
    book = books.of_cover(facts, CoverKind.RDV)
    tally.verdicts.append(payout_authority(facts, due, Money.zero(due.currency), book))
    if any(one.approved < one.claimed for one in answers):
        return due.at_most(Money.sum((one.approved for one in answers), due.currency))
    return due


def _waited(story: Story, scan: Scanned, settled: Settled, books: Books) -> int:
    """Seconds from the scan to the refund. Silence is accepted after the book's own time; the merchant's word, when it
    came, unless that time was over before."""
    at = settled.at
    if settled.delivered_at is not None:
        accepted = settled.delivered_at + books.procedure.timers.receipt_silence
        if settled.event == SILENCE:
            at = max(accepted, settled.delivered_at)
        elif settled.event == "received_ok":
            at = min(at, accepted)
    return max(0, int((at - scan.at) / timedelta(seconds=1)))


def _with_limit(facts: CaseFacts, remaining: Money | None) -> CaseFacts:
    """What RDV had left then, what this case itself claimed apart."""
    if remaining is None:
        return facts
    covers = tuple(
        cover.model_copy(update={"remaining": remaining}) if cover.kind is CoverKind.RDV else cover
        for cover in facts.covers
    )
    return facts.model_copy(update={"covers": covers})
