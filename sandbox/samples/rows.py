"""Sample rows as the demo plays them: read from the file, renamed for a second run, with times made absolute."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_RELATIVE = re.compile(r"^now([+-]\d+)([smhd])$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Sample:
    """One return: what is asked, what happens outside, who does what, how it must end."""

    name: str
    path: str
    order: Json
    open: Json
    parties: Json
    actors: tuple[Json, ...]
    expect: Json

    @property
    def merchant(self) -> str:
        """The merchant's id."""
        return str(self.open["merchant_id"])

    @property
    def rma(self) -> str:
        """The merchant's own id of the return."""
        return str(self.open["rma_id"])

    @property
    def case(self) -> str:
        """`merchant/rma`, as couriers name it."""
        return f"{self.merchant}/{self.rma}"

    @property
    def workflow_id(self) -> str:
        """The Temporal workflow."""
        return f"return:{self.merchant}:{self.rma}"

    @property
    def currency(self) -> str:
        """The currency of the order."""
        return str(self.order["lines"][0]["paid"]["currency"])


def load(file: Path, *, twice: bool = False) -> list[Sample]:
    """The samples of a file; `twice` adds all of them again under other ids."""
    rows = [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines() if text.strip()]
    if twice:
        rows += [_renamed(row, "-again") for row in rows]
    return [_sample(row) for row in rows]


def by_order(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Samples of one order together: they share an import and are opened one after another."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.order["order_id"], []).append(sample)
    return list(groups.values())


def at(value: Any, now: datetime) -> Any:
    """The same with every relative time made absolute."""
    if isinstance(value, dict):
        return {key: at(inner, now) for key, inner in value.items()}
    if isinstance(value, list):
        return [at(inner, now) for inner in value]
    if isinstance(value, str) and (found := _RELATIVE.match(value)):
        return (now + timedelta(**{_UNITS[found[2]]: int(found[1])})).isoformat()
    return value


def _sample(row: Json) -> Sample:
    names = {"{merchant}": row["open"]["merchant_id"], "{rma}": row["open"]["rma_id"]}
    return Sample(
        name=row["name"],
        path=row["path"],
        order=row["order"],
        open=row["open"],
        parties=_filled(row["parties"], names),
        actors=tuple(row["actors"]),
        expect=row["expect"],
    )


def _filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, names) for inner in value]
    if isinstance(value, str):
        for name, real in names.items():
            value = value.replace(name, real)
    return value


def _renamed(row: Json, suffix: str) -> Json:
    order, opened = row["order"], row["open"]
    ids = {row["name"], order["order_id"], order["consumer"]["consumer_ref"], opened["rma_id"], opened["address_ref"]}
    ids |= {payment["payment_id"] for payment in order["payments"]}
    ids |= {cover["coverage_id"] for cover in order["covers"]}
    for actor in row["actors"]:
        body = actor["body"]
        ids |= {*body.get("all", ()), *body.get("aboard", ())} | ({body["waybill"]} if "waybill" in body else set())
    renamed: Json = _with_suffix(row, frozenset(ids), suffix)
    return renamed


def _with_suffix(value: Any, ids: frozenset[str], suffix: str) -> Any:
    if isinstance(value, dict):
        return {key: _with_suffix(inner, ids, suffix) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_suffix(inner, ids, suffix) for inner in value]
    return f"{value}{suffix}" if isinstance(value, str) and value in ids else value
