"""Who is liable at the end of a case, what that costs, and what is charged. Rules 4.3, 4.5 and their fixed readings.

What the steps of a case decide by, and what a backtest decides by again: nothing here knows a database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from backhaul.facts import (
    CaseFacts,
    CoverFacts,
    CoverKind,
    Frozen,
    Inspection,
    LiabilityShare,
    Liable,
    LineFinding,
    Risk,
    Verdict,
)
from backhaul.money import Money
from backhaul.policy.book import PolicyBook
from backhaul.policy.comparison import compare, comparison
from backhaul.policy.consequences import Consequences, consequences, line_relief, with_shares
from backhaul.policy.indemnity import IndemnityResult, indemnity
from backhaul.policy.liability import has_finding, liability
from backhaul.policy.losses import LineLoss, case_losses, lost_losses, total_loss, without
from backhaul.policy.refunds import LineRefund, RefundValue, refund_rest, refund_value
from backhaul.policy.risk import CHECKED
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import otherwise, verdict

PAID_FOR = frozenset({Liable.CONSUMER, Liable.CARRIER, Liable.INSURER})
"""Whose fault the merchant is indemnified for: not their own (rule 4.5)."""
RETURNED, SILENCE = "returned", "receipt_silence"
LATE, NO_EVIDENCE = "late_objection", "no_evidence"
LIABILITY, OBJECTION = "liability", "objection"


FIRST = (Liable.CONSUMER, Liable.CARRIER, Liable.INSURER, Liable.MERCHANT)
"""Who of several liable parties is named first: what the consumer bears decides what is refunded."""


class Liability(Frozen):
    """Who is liable for what. `lost`: for the whole parcel. `shares`: what others are liable for besides."""

    liable: Liable
    findings: tuple[LineFinding, ...] = ()
    lost: bool = False
    ruled: bool = False
    shares: tuple[LiabilityShare, ...] = ()

    @property
    def everything(self) -> tuple[LineFinding, ...]:
        """All findings, whoever is liable for them."""
        return (*self.findings, *(one for share in self.shares for one in share.findings))


def ruled_liability(
    liable: Liable, findings: tuple[LineFinding, ...], shares: Sequence[LiabilityShare], *, lost: bool = False
) -> Liability:
    """What a ruling says, the parties in the order of FIRST."""
    if not shares:
        return Liability(liable=liable, findings=findings, lost=lost, ruled=True)
    every = [LiabilityShare(liable=liable, findings=findings), *shares]
    first, *others = sorted(every, key=lambda one: FIRST.index(one.liable))
    return Liability(liable=first.liable, findings=first.findings, ruled=True, shares=tuple(others))


@dataclass(frozen=True)
class PartLoss:
    """What one of several parties is liable for of a loss: by line, in all, and what of it is insured."""

    liable: Liable
    lines: tuple[LineLoss, ...]
    total: Money
    insured: Money


@dataclass(frozen=True)
class Loss:
    """The loss by line and in all, and what RDV would pay for it. `parts`: what each of several is liable for."""

    lines: tuple[LineLoss, ...]
    total: Money
    payable: Money
    cover: CoverFacts | None
    verdict: Verdict
    parts: tuple[PartLoss, ...] = ()

    def first(self, liable: Liable, due: Money) -> PartLoss:
        """What the party named first is liable for; `insured` is their part of an indemnity `due`."""
        if not self.parts:
            return PartLoss(liable, self.lines, self.total, due)
        return replace(self.parts[0], insured=self.apportion(due)[liable])

    def apportion(self, due: Money) -> dict[Liable, Money]:
        """An indemnity by whom it is for: by what was insured of each part, largest remainder. Nothing where one party
        alone is liable."""
        if not self.parts:
            return {}
        shares = due.split([one.insured.minor for one in self.parts])
        return {one.liable: share for one, share in zip(self.parts, shares, strict=True)}


class Judged(Frozen):
    """Who is liable, why, and whether the merchant's own objection alone says so. `verdicts`: what the rules decided;
    none of them where a ruling stands in their place."""

    found: Liability
    reasons: tuple[str, ...]
    objection: bool = False
    verdicts: tuple[Verdict, ...] = ()


class AmountsBroken(ValueError):
    """The lines do not add up to the charge: a bug, never input."""

    code = "invariant_broken"


@dataclass(frozen=True)
class Heard:
    """How the goods ended up, and what was seen. `event` as in SettleCase; `at_door`: what was found for the door;
    `evidence`: did any come with the merchant's objection?"""

    event: str
    door: Inspection | None = None
    receipt: Inspection | None = None
    delivered_at: datetime | None = None
    at_door: Liability | None = None
    evidence: bool = False

    @property
    def lost(self) -> bool:
        return self.event == "lost"

    @property
    def flagged(self) -> bool:
        """Was anything found at the door?"""
        return self.door is not None and has_finding(self.door)

    @property
    def objection(self) -> bool:
        """Is the merchant's finding the only one?"""
        return self.receipt is not None and has_finding(self.receipt) and not self.flagged and not self.lost

    @property
    def findings(self) -> tuple[LineFinding, ...]:
        """The findings that count."""
        if self.at_door is not None and not self.objection:
            return self.at_door.everything
        source = self.receipt if self.objection else self.door
        return () if source is None else source.findings


def who_is_liable(heard: Heard, facts: CaseFacts, risk: Risk, book: PolicyBook) -> Judged:
    """By the ruling at the door where nothing new came up, else by the rules."""
    if heard.event == RETURNED:
        found = Liability(liable=Liable.CONSUMER, lost=True)
        back = verdict(LIABILITY, found.liable.value, [Code.RETURNED_TO_CONSUMER], ["4.5.returned"], facts, book)
        return Judged(found=found, reasons=back.reasons, verdicts=(back,))
    said: tuple[Verdict, ...] = ()
    late = heard.receipt is not None and has_finding(heard.receipt) and is_late(heard, book)
    if heard.lost or heard.flagged or heard.objection:
        items = compare(facts, heard.door, heard.receipt, heard.lost, late, book)
        said += (comparison(facts, items, book),)
    by_rules = liability(facts, heard.door, heard.receipt, heard.lost, book)
    found = Liability(liable=Liable(by_rules.outcome), findings=heard.findings, lost=heard.lost)
    at_door = heard.at_door
    if at_door is not None and at_door.ruled and found.liable in (Liable.CONSUMER, Liable.MERCHANT):
        return Judged(found=at_door, reasons=("ruled",))
    said += (by_rules,)
    if heard.objection:
        said += (objection(heard, facts, book),)
    judged = Judged(found=found, reasons=by_rules.reasons, objection=heard.objection, verdicts=said)
    why = (*((LATE,) if late else ()), *(() if heard.evidence else (NO_EVIDENCE,)))
    if heard.objection and why:
        return left_open(judged, why, [Code(reason) for reason in said[-1].reasons])
    if heard.event == SILENCE and risk in CHECKED and found.liable is Liable.NOBODY:
        return left_open(judged, (Code.RECEIPT_CHECK_NEEDED.value,), [Code.RECEIPT_CHECK_NEEDED])
    return judged


def uncovered(judged: Judged, loss: Loss, *, claimed: bool) -> Judged:
    """An objection that no cover pays for is a dispute without an advance (rule 4.5)."""
    if judged.objection and loss.total and not loss.payable and not claimed:
        return left_open(judged, (Code.NO_COVER.value, *loss.verdict.reasons), [Code.NO_COVER])
    return judged


def objection(heard: Heard, facts: CaseFacts, book: PolicyBook) -> Verdict:
    """X10: an objection in time and with evidence is a claim, paid in advance; any other is a dispute first."""
    late = is_late(heard, book)
    against = [*([Code.OBJECTED_LATE] if late else []), *([] if heard.evidence else [Code.OBJECTED_WITHOUT_EVIDENCE])]
    return verdict(
        OBJECTION,
        "dispute" if against else "claim",
        against or [Code.OBJECTED_WITH_EVIDENCE],
        ["4.5.objection"],
        facts,
        book,
        late=late,
        evidence=heard.evidence,
    )


def is_late(heard: Heard, book: PolicyBook) -> bool:
    """X10: an objection with an advance comes within 48 h of the delivery."""
    if heard.delivered_at is None or heard.receipt is None:
        return False
    return heard.receipt.at > heard.delivered_at + book.timers.receipt_finding


def left_open(judged: Judged, why: Sequence[str], codes: Sequence[Code]) -> Judged:
    """A human rules. What the rules alone say is told as just that, and no objection as a claim."""

    def told(one: Verdict) -> Verdict:
        if one.decision == LIABILITY:
            reasons = [*(Code(reason) for reason in one.reasons), *codes]
            return otherwise(one, Liable.UNDETERMINED.value, reasons, by_rules=one.outcome)
        if one.decision == OBJECTION and one.outcome == "claim":
            return otherwise(one, "dispute", codes)
        return one

    found = judged.found.model_copy(update={"liable": Liable.UNDETERMINED})
    return Judged(found=found, reasons=tuple(why), verdicts=tuple(told(one) for one in judged.verdicts))


def with_remaining(facts: CaseFacts, kind: CoverKind, more: Money) -> CaseFacts:
    """The facts with a cover's remaining limit as if `more` were free again."""
    covers = tuple(
        cover.model_copy(update={"remaining": cover.remaining + more}) if cover.kind is kind else cover
        for cover in facts.covers
    )
    return facts.model_copy(update={"covers": covers})


def loss_of(facts: CaseFacts, found: Liability, book: PolicyBook) -> Loss:
    """The loss of a finding, or of a lost parcel, and what RDV pays for it. `book`: the one of the cover."""
    if found.shares:
        return _shared_loss(facts, found, book)
    lines = lost_losses(facts) if found.lost else case_losses(facts, found.findings, book)
    cover, result = _indemnity(facts, lines, book)
    return Loss(lines, total_loss(lines, book.currency), result.indemnity, cover, result.verdict)


def _shared_loss(facts: CaseFacts, found: Liability, book: PolicyBook) -> Loss:
    """The loss that the merchant is paid for, which is not their own part, and whose part of it is what. What the
    findings of a line come to above its value is taken off the parties named last."""
    every = (LiabilityShare(liable=found.liable, findings=found.findings), *found.shares)
    parts: list[PartLoss] = []
    findings: tuple[LineFinding, ...] = ()
    losses = case_losses(facts, findings, book)
    for share in (one for one in every if one.liable in PAID_FOR):
        findings, before = (*findings, *share.findings), losses
        losses = case_losses(facts, findings, book)
        lines = without(losses, before)
        _, mine = _indemnity(facts, lines, book)
        parts.append(PartLoss(share.liable, lines, total_loss(lines, book.currency), mine.insured))
    cover, result = _indemnity(facts, losses, book)
    return Loss(losses, total_loss(losses, book.currency), result.indemnity, cover, result.verdict, tuple(parts))


def _indemnity(
    facts: CaseFacts, lines: Sequence[LineLoss], book: PolicyBook
) -> tuple[CoverFacts | None, IndemnityResult]:
    cover = facts.cover(CoverKind.RDV)
    return cover, indemnity(facts, lines, cover, facts.cover(CoverKind.RFI) is not None, book)


def given_back(loss: Loss) -> Loss:
    """The consumer has the goods again: nothing is lost that a cover pays for."""
    zero = Money.zero(loss.total.currency)
    said = otherwise(loss.verdict, "none", [Code.RETURNED_TO_CONSUMER], indemnity=zero)
    return replace(loss, payable=zero, verdict=said)


def indemnity_decided(found: Liability, loss: Loss, due: Money) -> Verdict | None:
    """What is indemnified, as a decision; None where there is nothing to decide on, or a human rules first. What the
    cover would pay is paid only for somebody else's fault, and only as far as it is `due`."""
    if not (found.lost or found.findings) or found.liable is Liable.UNDETERMINED:
        return None
    zero = Money.zero(loss.total.currency)
    if found.liable not in PAID_FOR:
        code = Code.OWN_FAULT if found.liable is Liable.MERCHANT else Code.NO_LOSS
        return otherwise(loss.verdict, "none", [code], indemnity=zero)
    if due < loss.payable:
        return otherwise(loss.verdict, "partly" if due else "denied", [Code.INSURER_DECIDED], indemnity=due)
    return loss.verdict


def undisputed_value(facts: CaseFacts, findings: Sequence[LineFinding], book: PolicyBook) -> RefundValue:
    """What nobody disputes of a denied finding: all of every line but what the finding may cost."""
    losses = case_losses(facts, findings, book)
    return refund_value(facts, {one.line_id: _disputed(one) for one in losses})


def fix(
    facts: CaseFacts,
    found: Liability,
    loss: Loss,
    due: Money,
    granted: bool,
    freight_due: Money,
    before: Sequence[LineRefund] | None,
    book: PolicyBook,
) -> tuple[Consequences, RefundValue]:
    """Every amount of a case, and what is charged now by line. `due`: what RDV pays; `before`: the undisputed part,
    None where there was none. Raises AmountsBroken where the lines do not add up."""
    currency = loss.total.currency
    refunded = {one.line_id: one.amount for one in before or ()}
    done = Money.sum(refunded.values(), currency)
    first = loss.first(found.liable, due)
    losses = tuple(relievable(one, refunded.get(one.line_id, Money.zero(currency))) for one in first.lines)
    result = consequences(
        facts,
        refund_value(facts).total,
        first.total,
        first.insured,
        found.liable,
        granted,
        freight_due,
        book,
        losses,
        None if before is None else done,
    )
    result = with_shares(result, loss.total, loss.apportion(due), granted)
    charge = refund_rest(facts, before or (), line_relief(result, losses))
    now = result.merchant_charge - done
    if charge.total != now:
        raise AmountsBroken(f"lines add up to {charge.total}, the charge is {now}")
    return result, charge


def fix_again(
    facts: CaseFacts,
    found: Liability,
    loss: Loss,
    due: Money,
    granted: bool,
    charged: Sequence[LineRefund],
    withheld: Money,
    book: PolicyBook,
) -> tuple[Consequences, RefundValue]:
    """The consequences of a new liability over the whole case, and what is charged: after lightning all of it, else
    what was not `charged` before. What was `withheld` is decided anew, what has left is not."""
    zero = Money.zero(loss.total.currency)
    by_line: dict[str, Money] = {}
    for one in charged:
        by_line[one.line_id] = by_line.get(one.line_id, zero) + one.amount
    first = loss.first(found.liable, due)
    losses, gone = first.lines, None
    if not granted:
        gone = Money.sum(by_line.values(), zero.currency) - withheld
        losses = tuple(relievable(one, by_line.get(one.line_id, zero)) for one in losses)
    refund = refund_value(facts).total
    result = consequences(facts, refund, first.total, first.insured, found.liable, granted, zero, book, losses, gone)
    result = with_shares(result, loss.total, loss.apportion(due), granted)
    if granted:
        return result, refund_value(facts, line_relief(result, losses))
    charge = refund_rest(facts, charged, line_relief(result, losses))
    if charge.total != result.merchant_charge - Money.sum(by_line.values(), zero.currency):
        raise AmountsBroken(f"lines add up to {charge.total} of {result.merchant_charge}")
    return result, charge


def relievable(one: LineLoss, refunded: Money) -> LineLoss:
    """What was refunded as undisputed stands: the merchant is relieved of the rest of the line at most."""
    whole = one.value if one.refundable is None else one.refundable
    return one.model_copy(update={"refundable": max(whole - refunded, Money.zero(whole.currency))})


def _disputed(one: LineLoss) -> Money:
    """A loss that cannot be counted yet disputes the whole line."""
    whole = one.value if one.refundable is None else one.refundable
    return whole if one.unverifiable or one.severity_unknown else one.relief
