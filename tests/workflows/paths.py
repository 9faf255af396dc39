"""docs/reference/paths.md: every path of domain 5 with its timer, its outcome, the entries it posts, and its story.

`make histories` runs every story and writes the page; every run of a story checks its own row, so that a row is green
or the test is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from backhaul.money import Money
from backhaul.policy.library import load_library
from tests.workflows.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/reference/paths.md"
SEEN = ROOT / "out/paths"
BOOK = "2025-05"
PATHS = {
    "X1": "the merchant is silent on a request",
    "X2": "the consumer is silent on a question",
    "X3": "no waybill is given for a parcel to be sent",
    "X4": "the courier misses the slot",
    "X5": "nobody is at home",
    "X6": "the courier refuses the goods",
    "X7": "a finding at the door",
    "X8": "the consumer denies the finding",
    "X9": "no movement after the pickup",
    "X10": "a finding at the receipt",
    "X11": "the merchant neither confirms nor objects",
    "X12": "the merchant objects after lightning was paid",
    "X13": "the consumer escalates a refusal",
    "X14": "the evidence windows of a dispute",
    "X15": "an appeal",
    "X16": "the insurer's decision and payment",
    "X17": "a payout above the authority",
    "X18": "the answer to a refund is unknown",
    "X19": "a refund is abnormal: the card is void",
    "X20": "the account is closed and nobody answers",
    "X21": "the payer's account is short",
    "X22": "a shortfall at the settlement",
    "X23": "the consumer cancels before the scan",
    "X24": "the consumer cancels after the scan",
    "X25": "a cancel races the scan",
    "X26": "lightning was paid and the goods are wrong or never came",
    "X27": "recovery from the carrier",
    "X28": "recovery from the consumer",
    "X29": "refund only",
    "X30": "an offer to keep the goods",
}
HEAD = f"""# Every path and its proof

Made by `make histories` from the stories in `tests/workflows/scenarios`; each story checks its own row whenever it
runs. The timers are fields of the policy book, with their values in book {BOOK}; the entries are those of the case, by
the templates of [journal.md](journal.md).
"""
COLUMNS = ("Outcome", "Timer", "Journal entries", "Story")


@cache
def field(name: str) -> str:
    """A field of the book, with its value for people: `timers.lost` 7 d. Raises AttributeError for an unknown one."""
    value: Any = load_library().by_version(BOOK)
    for part in name.split("."):
        value = getattr(value, part)
    return f"`{name}` {shown(value)}"


def shown(value: Any) -> str:
    """A value of the book for people."""
    if isinstance(value, tuple):
        return ", ".join(shown(one) for one in value)
    if isinstance(value, Money):
        return str(value)
    if not isinstance(value, timedelta):
        return str(value)
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        whole, rest = divmod(value.total_seconds(), seconds)
        if whole and not rest:
            return f"{whole:g} {unit}"
    return f"{value.total_seconds():g} s"


def templates(entries: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """The templates of a case's entries, each once, in order."""
    found = {template for template, _ in entries}
    return tuple(sorted(found, key=lambda template: (int(re.sub(r"\D", "", template) or 0), template)))


AFTERWARDS = frozenset(["J40", "J41", "J42", "J43", "J44", "J45", "J51", "J52", "J55"])
"""What a recovery posts, which goes on without its case: how much of it a story sees depends on when it looks."""


def steady(journal: tuple[str, ...]) -> list[str]:
    """The entries that do not depend on how far a recovery has come."""
    return [template for template in journal if template not in AFTERWARDS]


def keep(name: str, journal: tuple[str, ...]) -> None:
    """Remember what a story posted, for the page."""
    SEEN.mkdir(parents=True, exist_ok=True)
    (SEEN / f"{name}.json").write_text(json.dumps(journal))


def written() -> dict[str, tuple[str, ...]]:
    """What the page says that each story posts."""
    rows = re.findall(r"^\| .* \| .* \| (.*) \| `(\w+)` \|$", PAGE.read_text(), re.MULTILINE)
    return {name: () if journal == "none" else tuple(journal.split(", ")) for journal, name in rows}


def page(journals: Mapping[str, tuple[str, ...]]) -> str:
    """The whole page."""
    parts = [HEAD]
    for path, what in PATHS.items():
        names = [name for name, covered in SCENARIOS.items() if path in covered.paths]
        parts.append(_table(f"{path}: {what}", names, journals))
    rest = [name for name, covered in SCENARIOS.items() if not covered.paths]
    parts.append(_table("The straight path and what is beside the paths", rest, journals))
    return "\n".join(parts)


def _table(heading: str, names: Iterable[str], journals: Mapping[str, tuple[str, ...]]) -> str:
    rows = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for name in names:
        covered = SCENARIOS[name]
        timer = "; ".join(field(each) for each in covered.timers) or "none"
        journal = ", ".join(journals[name]) or "none"
        rows.append(f"| {covered.says.replace('|', '/')} | {timer} | {journal} | `{name}` |")
    return f"## {heading}\n\n" + "\n".join(rows) + "\n"


def main() -> None:
    """Write the page from what the stories left behind."""
    PAGE.write_text(page({name: tuple(json.loads((SEEN / f"{name}.json").read_text())) for name in SCENARIOS}))


if __name__ == "__main__":
    main()
