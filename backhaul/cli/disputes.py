"""Commands about disputes: evidence, rulings, appeals. All go over the API, which knows who is asking."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.table import Table

from backhaul.cli import remote
from backhaul.cli.app import Json, Merchant, Rma, app, case_of
from backhaul.cli.running import emit, invalid, out, run, usage
from backhaul.facts import LiabilityShare, LineFinding, Party
from backhaul.messages import CreateAppeal, CreateRuling, EvidenceKind, EvidenceList, EvidenceRef, SubmitEvidence


@app.command()
def evidence(
    rma: Rma,
    merchant: Merchant = None,
    add: Annotated[str | None, typer.Option(help="Where the piece is kept: its reference.")] = None,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, readable=True, help="The piece itself, for its hash.")
    ] = None,
    sha256: Annotated[str | None, typer.Option(help="Its hash, where the file is not here.")] = None,
    kind: Annotated[EvidenceKind | None, typer.Option(help="What it is.")] = None,
    line: Annotated[str | None, typer.Option(help="Which line it is about.")] = None,
    side: Annotated[Party | None, typer.Option("--as", help="Whose it is: consumer or merchant, as the token.")] = None,
    nothing_more: Annotated[bool, typer.Option("--nothing-more", help="This side has said all it wants to.")] = False,
    as_json: Json = False,
) -> None:
    """All evidence of a return; with --add or --nothing-more, say something in a dispute first."""
    merchant_id, rma_id = case_of(rma, merchant)
    said = None
    if add is not None or nothing_more:
        if side is None:
            raise usage("say who speaks: --as consumer or --as merchant")
        given: tuple[EvidenceRef, ...] = ()
        if add is not None:
            if (file is None) == (sha256 is None):
                raise usage("--add needs --file or --sha256, one of them")
            known = sha256 or hashlib.sha256(file.read_bytes() if file else b"").hexdigest()
            given = (EvidenceRef(ref=add, sha256=known, by=side, kind=kind, line_id=line),)
        said = SubmitEvidence(evidence=given, nothing_more=nothing_more, by=side)

    async def work() -> None:
        async with remote.needed_by("evidence") as api:
            kept = await (api.give(merchant_id, rma_id, said) if said else api.evidence(merchant_id, rma_id))
        emit(kept) if as_json else _show(kept)

    run(work(), as_json=as_json)


@app.command()
def rulings(rma: Rma, merchant: Merchant = None, as_json: Json = False) -> None:
    """Who ruled what on a return, on which facts and policy book."""
    merchant_id, rma_id = case_of(rma, merchant)

    async def work() -> None:
        async with remote.needed_by("rulings") as api:
            found = await api.rulings(merchant_id, rma_id)
        if as_json:
            emit(found)
            return
        table = Table("ruling", "decides", "outcome", "by", "at", "book", "overrules", box=None)
        for one in found.rulings:
            at = f"{one.at:%Y-%m-%d %H:%M}" if one.at else ""
            book = one.book.version if one.book else ""
            liable = ", ".join((one.outcome, *(share.liable.value for share in one.shares)))
            table.add_row(one.ruling_id, one.decides, liable, one.ruled_by, at, book, one.overrules or "")
        out.print(table)

    run(work(), as_json=as_json)


@app.command()
def rule(
    rma: Rma,
    outcome: Annotated[str, typer.Option(help="merchant, consumer, carrier, insurer, nobody; authorize, uphold.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    merchant: Merchant = None,
    decides: Annotated[str, typer.Option(help="liability, or authorization for a refusal.")] = "liability",
    finding: Annotated[
        list[str] | None,
        typer.Option(help="In place of what was found: LINE:FINDING:UNITS[:PERCENT], such as 1:damage:1:30."),
    ] = None,
    share: Annotated[
        list[str] | None,
        typer.Option(help="What another party is liable for besides: PARTY=LINE:FINDING:UNITS[:PERCENT]."),
    ] = None,
    overrules: Annotated[str | None, typer.Option(help="On an appeal: the ruling appealed against.")] = None,
    as_json: Json = False,
) -> None:
    """Rule on a question of a return, as the token's person. An operator then sends apply_ruling with its id."""
    merchant_id, rma_id = case_of(rma, merchant)
    if merchant_id is None:
        raise usage("name the merchant: --merchant, or MERCHANT/RMA")
    try:
        request = CreateRuling(
            merchant_id=merchant_id,
            rma_id=rma_id,
            decides=decides,
            outcome=outcome,
            findings=tuple(_finding(one) for one in finding) if finding else None,
            shares=_shares(share or ()),
            reason=reason,
            overrules=overrules,
        )
    except ValidationError as error:
        raise usage(str(invalid(error, "the ruling"))) from None

    async def work() -> None:
        async with remote.needed_by("rule") as api:
            made = await api.rule(request)
        emit(made) if as_json else out.print(f"{made.ruling_id}: {made.outcome}, by {made.ruled_by}")

    run(work(), as_json=as_json)


@app.command()
def appeal(
    rma: Rma,
    ruling: Annotated[str, typer.Argument(metavar="RULING", help="The ruling appealed against.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    merchant: Merchant = None,
    as_json: Json = False,
) -> None:
    """Ask for another reviewer, once, within the time for it. Says how it is heard: dispute, kept or correction."""
    merchant_id, rma_id = case_of(rma, merchant)
    request = CreateAppeal(ruling_id=ruling, reason=reason)

    async def work() -> None:
        async with remote.needed_by("appeal") as api:
            taken = await api.appeal(merchant_id, rma_id, request)
        emit(taken) if as_json else out.print(f"{taken.appeal_id}: {taken.how}")

    run(work(), as_json=as_json)


def _finding(text: str) -> LineFinding:
    """LINE:FINDING:UNITS[:PERCENT]. Raises a usage error for anything else."""
    parts = text.split(":")
    if len(parts) not in (3, 4) or not all(part.isdecimal() for part in parts[2:]):
        raise usage(f"{text}: LINE:FINDING:UNITS[:PERCENT]")
    line_id, finding, units, *severity = parts
    body = {"line_id": line_id, "finding": finding, "quantity": units, "severity": severity[0] if severity else None}
    return LineFinding.model_validate(body)


def _shares(texts: Sequence[str]) -> tuple[LiabilityShare, ...]:
    """PARTY=LINE:FINDING:UNITS[:PERCENT], those of one party together."""
    found: dict[str, list[LineFinding]] = {}
    for text in texts:
        party, _, rest = text.partition("=")
        found.setdefault(party, []).append(_finding(rest))
    return tuple(LiabilityShare.model_validate({"liable": party, "findings": each}) for party, each in found.items())


def _show(kept: EvidenceList) -> None:
    table = Table("received", "by", "kind", "line", "reference", "sha256", "source", box=None)
    for one in kept.evidence:
        kind = one.kind.value if one.kind else ""
        at = f"{one.received_at:%Y-%m-%d %H:%M}"
        table.add_row(at, one.by.value, kind, one.line_id or "", one.ref, (one.sha256 or "")[:12], one.source)
    out.print(table)
