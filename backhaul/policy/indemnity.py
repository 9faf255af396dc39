"""What the reverse declared value pays for a loss. Rule 4.3; amounts follow the book at binding."""

from __future__ import annotations

from collections.abc import Sequence

from backhaul.facts import CaseFacts, CoverFacts, Frozen, LineFacts, Verdict
from backhaul.money import Money
from backhaul.policy.book import PolicyBook
from backhaul.policy.losses import LineLoss, total_loss
from backhaul.policy.texts import Code
from backhaul.policy.verdicts import verdict


class IndemnityResult(Frozen):
    """The loss, what of it is covered, and why. `verdict.outcome`: paid, partly, denied or none (no loss)."""

    loss: Money
    covered_loss: Money
    insured: Money
    """Of the covered loss, what was declared: before limit and deductible."""
    indemnity: Money
    verdict: Verdict


def upper_tier(line: LineFacts, book: PolicyBook) -> bool:
    """Is the line's unit price in the tier that must be bought? Exactly the boundary is, unless the book says free."""
    price, boundary = line.paid.minor, book.rdv.free_below.minor * line.ordered
    return price > boundary if book.rdv.free_at_boundary else price >= boundary


def declared_share(facts: CaseFacts, line: LineFacts, cover: CoverFacts) -> tuple[int, int]:
    """min(1, declared / value) of a line, as a fraction.

    A declared value of the line itself goes before that of the whole order, which stands against the order's
    goods: `insured_value` of the cover where it is known, else what was captured for the order."""
    if line.declared is not None:
        declared, value = line.declared.minor, line.paid.minor
    elif cover.declared is not None:
        paid = sum(one.paid.minor for one in facts.lines)
        captured = sum(payment.captured.minor for payment in facts.payments)
        known = cover.insured_value.minor if cover.insured_value is not None else max(paid, captured)
        declared, value = cover.declared.minor, known
    else:
        return 1, 1
    if value <= 0 or declared >= value:
        return 1, 1
    return max(0, declared), value


def indemnity(
    facts: CaseFacts,
    losses: Sequence[LineLoss],
    cover: CoverFacts | None,
    rfi_in_force: bool,
    book: PolicyBook,
) -> IndemnityResult:
    """max(0, min(loss x min(1, declared/value), remaining limit) - deductible), and the reasons.

    `cover` is the RDV in force; it needs RFI in force too. A line that is not covered (upper tier not bought)
    takes nothing from the others. The loss is rounded down already; the indemnity rounds down per line."""
    zero = Money.zero(book.currency)
    loss = total_loss(losses, book.currency)
    codes: list[Code] = []
    covered = insured = zero
    if cover is None:
        codes.append(Code.RDV_NOT_IN_FORCE)
    if not rfi_in_force:
        codes.append(Code.RFI_NOT_IN_FORCE)
    lines = {line.line_id: line for line in facts.lines}
    for one in losses:
        line = lines[one.line_id]
        if one.unverifiable:
            codes.append(Code.UNVERIFIABLE)
        if one.severity_unknown:
            codes.append(Code.SEVERITY_UNKNOWN)
        if cover is None or not rfi_in_force or not one.loss:
            continue
        if upper_tier(line, book) and not cover.upper_tier:
            codes.append(Code.UPPER_TIER_NOT_BOUGHT)
            continue
        part, whole = declared_share(facts, line, cover)
        if part < whole:
            codes.append(Code.UNDER_DECLARED)
        covered = covered + one.loss
        insured = insured + one.loss.fraction(part, whole)
    paid = _limited(insured, cover, book, codes) if insured else zero
    return IndemnityResult(
        loss=loss,
        covered_loss=covered,
        insured=insured,
        indemnity=paid,
        verdict=_explain(facts, loss, paid, codes, cover, book),
    )


def payout_authority(facts: CaseFacts, amount: Money, paid_before: Money, book: PolicyBook) -> Verdict:
    """`auto`, or `second_person` above the authority limit, summed per case and payee (rule 4.3, X17)."""
    total = amount + paid_before
    over = total > book.rdv.authority_limit
    return verdict(
        "payout_authority",
        "second_person" if over else "auto",
        [Code.SECOND_PERSON_NEEDED if over else Code.WITHIN_AUTHORITY],
        ["4.3.authority"],
        facts,
        book,
        amount=amount,
        paid_before=paid_before,
        limit=book.rdv.authority_limit,
    )


def _limited(insured: Money, cover: CoverFacts | None, book: PolicyBook, codes: list[Code]) -> Money:
    """Apply limit and deductible, noting what they did."""
    zero = Money.zero(book.currency)
    left = zero if cover is None else max(zero, cover.remaining)
    paid = insured.at_most(left)
    if paid < insured:
        codes.append(Code.LIMIT_REACHED)
    if book.rdv.deductible:
        codes.append(Code.DEDUCTIBLE_APPLIED)
    paid = max(zero, paid - book.rdv.deductible)
    if not paid:
        codes.append(Code.NOTHING_LEFT_TO_PAY)
    return paid


def _explain(
    facts: CaseFacts, loss: Money, paid: Money, codes: list[Code], cover: CoverFacts | None, book: PolicyBook
) -> Verdict:
    if paid:
        outcome = "paid" if paid == loss else "partly"
        codes = [Code.LOSS_COVERED, *codes]
    elif loss or Code.UNVERIFIABLE in codes or Code.SEVERITY_UNKNOWN in codes:
        outcome = "denied"
        codes = codes or [Code.NOTHING_LEFT_TO_PAY]
    else:
        outcome, codes = "none", [Code.NO_LOSS]
    return verdict(
        "indemnity",
        outcome,
        codes,
        ["4.3.loss", "4.3.rfi", "4.3.tier", "4.3.declared", "4.3.limit", "4.3.deductible"],
        facts,
        book,
        loss=loss,
        indemnity=paid,
        remaining=None if cover is None else cover.remaining,
        declared=None if cover is None else cover.declared,
        free_below=book.rdv.free_below,
        deductible=book.rdv.deductible,
    )
