"""What a reconciliation is asked and what it reports. Domain 6, invariants."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from backhaul.facts import Frozen, Token
from backhaul.money import Money

SHOWN = 100
"""Findings in a report; all of them are in the store."""


class ReconcileRequest(Frozen):
    """Argument of the Reconciliation workflow. A schedule leaves `cut` empty: the start time names it.

    `hold`: park until every finding is explained or gone; else the run ends with its report. `whole`: compare
    everything and not only what is new. `lag_s`: how much later one side may tell of a movement than the other.
    `providers` and `fetched` carry a long fetch through continue-as-new."""

    cut: str = ""
    hold: bool = True
    whole: bool = False
    lag_s: Annotated[float, Field(ge=0)] = 86_400.0
    providers: tuple[str, ...] | None = None
    fetched: int = 0


class FindingView(Frozen):
    """One finding: what is wrong with what, by how much, and the id under which it is explained."""

    finding_id: str
    invariant: int
    code: str
    subject: str
    expected: str
    found: str
    amount: Money | None = None
    state: str
    since: datetime
    note: str = ""
    explained_by: str = ""


class FindingPage(Frozen):
    """Some findings in order of their ids; `next` goes into `after` for the page that follows."""

    findings: tuple[FindingView, ...]
    next: str | None = None


class ExplainedFinding(Frozen):
    """Why a finding is no trouble."""

    note: Annotated[str, Field(min_length=1, max_length=300)]


class LineView(Frozen):
    """One line of the report: an invariant, how many rows were looked at, how many findings it has."""

    invariant: int
    says: str
    looked: int
    findings: int


class ProviderTotal(Frozen):
    """What a provider's statement comes to, by kind of movement."""

    provider: str
    kind: str
    rows: int
    total: Money


class ReconciliationReport(Frozen):
    """What one look at all books found. `open`: findings that wait for somebody; `findings`: the first of them."""

    cut: str
    at: datetime
    lines: tuple[LineView, ...]
    totals: tuple[ProviderTotal, ...]
    open: int
    in_flight: int
    explained: int
    findings: tuple[FindingView, ...] = ()


class ResolveFinding(Frozen):
    """A person says why a finding is no trouble: by its id, with a note."""

    finding_id: Token
    note: Annotated[str, Field(min_length=1, max_length=300)]
    by: Annotated[str, Field(max_length=100)] = "operator"
