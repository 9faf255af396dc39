"""How a decision explains itself: reasons from one table, the numbers used, the rules applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from backhaul.facts import BookRef, CaseFacts, Text, Verdict, digest
from backhaul.money import Money
from backhaul.policy.book import PolicyBook
from backhaul.policy.texts import TEXTS, Code

Number = int | str | bool | None | Money


class Check(NamedTuple):
    """One condition of a gate: its rule, whether it holds, and the reason given when it does not."""

    rule: str
    holds: bool
    reason: Code


def verdict(
    decision: str,
    outcome: str,
    reasons: Sequence[Code],
    rules: Sequence[str],
    facts: CaseFacts,
    book: PolicyBook,
    **numbers: Number,
) -> Verdict:
    """Build a verdict. Reasons and rules are kept once each, in order; amounts become minor units."""
    codes = tuple(dict.fromkeys(reasons))
    if not codes:
        raise ValueError(f"{decision}: a verdict without a reason explains nothing")
    return Verdict(
        decision=decision,
        outcome=outcome,
        reasons=tuple(code.value for code in codes),
        rules=tuple(dict.fromkeys(rules)),
        numbers=_plain(numbers),
        text=_told(codes),
        book=book.ref,
        facts_hash=digest(facts),
    )


def outside(
    decision: str,
    outcome: str,
    reasons: Sequence[Code],
    rules: Sequence[str],
    book: BookRef,
    facts_hash: str | None = None,
    **numbers: int | str | bool | None,
) -> Verdict:
    """What somebody else decided, kept beside our own decisions. Without facts of its own, they are the numbers."""
    return Verdict(
        decision=decision,
        outcome=outcome,
        reasons=tuple(code.value for code in reasons),
        rules=tuple(rules),
        numbers=numbers,
        text=_told(reasons),
        book=book,
        facts_hash=facts_hash or digest(numbers),
    )


def otherwise(said: Verdict, outcome: str, reasons: Sequence[Code], **numbers: Number) -> Verdict:
    """A decision that does not stand as its own rule says: the outcome that counts, and why."""
    codes = tuple(dict.fromkeys(reasons))
    changed = {
        "outcome": outcome,
        "reasons": tuple(code.value for code in codes),
        "numbers": {**said.numbers, **_plain(numbers)},
        "text": _told(codes),
    }
    return said.model_copy(update=changed)


def all_of(
    decision: str,
    outcomes: tuple[str, str],
    passed: Code,
    checks: Sequence[Check],
    facts: CaseFacts,
    book: PolicyBook,
    **numbers: Number,
) -> Verdict:
    """The first outcome if every check holds, else the second with every reason that failed."""
    failed = [check.reason for check in checks if not check.holds]
    outcome = outcomes[1] if failed else outcomes[0]
    rules = [check.rule for check in checks]
    return verdict(decision, outcome, failed or [passed], rules, facts, book, **numbers)


def _told(codes: Sequence[Code]) -> Text:
    texts = [TEXTS[code] for code in codes]
    return Text(en=" ".join(text.en for text in texts), zh="".join(text.zh for text in texts))


def _plain(numbers: Mapping[str, Number]) -> dict[str, int | str | bool | None]:
    return {name: value.minor if isinstance(value, Money) else value for name, value in numbers.items()}
