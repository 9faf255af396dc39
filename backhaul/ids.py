"""Ids built and parsed in one place: workflow ids, item references, claims, payment keys, entry keys.

Each part matches `[A-Za-z0-9_.-]{1,100}`, so that ids need no escaping anywhere.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from backhaul.errors import Refusal

PART = re.compile(r"^[A-Za-z0-9_.-]{1,100}$")
CLAIM_NAME, CLAIM_HASH = 30, 16
"""Characters of a claim's number: of merchant and rma each, and of the hash of both."""


class CaseId(NamedTuple):
    """A case by merchant and the merchant's own id."""

    merchant_id: str
    rma_id: str

    @property
    def key(self) -> str:
        """`merchant/rma`: the case's key in the store and the prefix of item references."""
        return f"{self.merchant_id}/{self.rma_id}"

    @property
    def workflow_id(self) -> str:
        """`return:merchant:rma`."""
        return return_id(self.merchant_id, self.rma_id)


def part(value: str, field: str) -> str:
    """Check one part of an id. Raises Refusal(`invalid_id`) naming the field."""
    if not PART.match(value):
        raise Refusal("invalid_id", f"{field} must match {PART.pattern}", field=field)
    return value


def return_id(merchant_id: str, rma_id: str) -> str:
    """Workflow id of a ReturnCase."""
    return f"return:{part(merchant_id, 'merchant_id')}:{part(rma_id, 'rma_id')}"


def parse_return_id(workflow_id: str) -> CaseId:
    """The reverse of return_id. Raises Refusal(`invalid_id`)."""
    kind, _, rest = workflow_id.partition(":")
    merchant_id, _, rma_id = rest.partition(":")
    if kind != "return":
        raise Refusal("invalid_id", f"{workflow_id!r} is not the id of a return", field="workflow_id")
    return CaseId(part(merchant_id, "merchant_id"), part(rma_id, "rma_id"))


def parse_case_key(key: str) -> CaseId:
    """`merchant/rma` to a case id. Raises Refusal(`invalid_id`)."""
    merchant_id, _, rma_id = key.partition("/")
    return CaseId(part(merchant_id, "merchant_id"), part(rma_id, "rma_id"))


def recovery_ref(claim_ref: str, n: int = 1) -> str:
    """Our name of a claim's nth recovery: the claim's own, from the second one on with its number: `{claim_ref}.r2`.

    A claim's number ends with a hash, so that this is never another claim's."""
    return claim_ref if n == 1 else f"{claim_ref}.r{n}"


def recovery_id(ref: str) -> str:
    """Workflow id of the Recovery of this name (`recovery_ref`)."""
    return f"recovery:{part(ref, 'recovery_ref')}"


def dispute_id(case: CaseId, n: int) -> str:
    """Workflow id of the nth Dispute of a case, its corrections counted in."""
    return f"dispute:{case.merchant_id}:{case.rma_id}:{n}"


def parse_dispute_id(workflow_id: str) -> tuple[CaseId, int]:
    """The reverse of dispute_id. Raises Refusal(`invalid_id`)."""
    kind, _, rest = workflow_id.partition(":")
    merchant_id, _, numbered = rest.partition(":")
    rma_id, _, n = numbered.rpartition(":")
    if kind != "dispute" or not n.isdecimal():
        raise Refusal("invalid_id", f"{workflow_id!r} is not the id of a dispute", field="workflow_id")
    return CaseId(part(merchant_id, "merchant_id"), part(rma_id, "rma_id")), int(n)


def correction_id(case: CaseId, n: int) -> str:
    """Workflow id of the nth Correction of a closed case."""
    return f"correction:{case.merchant_id}:{case.rma_id}:{n}"


def settlement_id(merchant_id: str, cut: str) -> str:
    """Workflow id of one merchant's Settlement at one cut."""
    return f"settlement:{part(merchant_id, 'merchant_id')}:{part(cut, 'cut')}"


def reconciliation_id(cut: str) -> str:
    """Workflow id of a Reconciliation."""
    return f"reconciliation:{part(cut, 'cut')}"


def item_ref(case: CaseId, line_id: str) -> str:
    """How a courier names one line of one case: `merchant/rma/line`."""
    return f"{case.key}/{part(line_id, 'line_id')}"


def parse_item_ref(ref: str) -> tuple[CaseId, str]:
    """The reverse of item_ref. Raises Refusal(`invalid_id`)."""
    pieces = ref.split("/")
    if len(pieces) != 3:
        raise Refusal("invalid_id", f"{ref!r} is not merchant/rma/line", field="ref")
    return CaseId(part(pieces[0], "merchant_id"), part(pieces[1], "rma_id")), part(pieces[2], "line_id")


def claim_ref(case: CaseId, kind: str, n: int = 1) -> str:
    """Our number of one claim of a case at the insurer: `merchant.rma.freight.1.<hash of the case>`.

    At most 100 characters. Merchant and rma are there to be read, and cut where they are long: both may contain dots,
    so that the hash is what tells two cases apart."""
    told = hashlib.sha256(case.key.encode()).hexdigest()[:CLAIM_HASH]
    return f"{case.merchant_id[:CLAIM_NAME]}.{case.rma_id[:CLAIM_NAME]}.{kind}.{n}.{told}"


def payment_key(case: CaseId, purpose: str, n: int = 1) -> str:
    """`{merchant_id}:{rma_id}:{purpose}:{n}`. The purpose names the claim and the original payment
    concerned; n rises only after the channel proved the attempt terminal (domain 6)."""
    return f"{case.merchant_id}:{case.rma_id}:{purpose}:{n}"


def recovery_key(ref: str, purpose: str, n: int = 1) -> str:
    """The key of one step of a recovery: `{recovery_ref}:{purpose}`, from the second part on `{purpose}.{n}`: a part of
    its own, not another attempt at the one before."""
    return f"{ref}:{purpose}" if n == 1 else f"{ref}:{purpose}.{n}"


def collect_key(case: CaseId, ref: str, n: int) -> str:
    """The key of the nth charge to a consumer for one recovery."""
    return payment_key(case, f"collect.{ref}", n)


def next_key(key: str) -> str:
    """The key of the next attempt: only after the channel itself said that this one is over for good."""
    purpose, _, n = key.rpartition(":")
    if not n.isdigit():
        raise Refusal("invalid_id", f"{key!r} is not a payment key", field="key")
    return f"{purpose}:{int(n) + 1}"


def notice_key(case: CaseId, about: str, n: int = 1, within: str = "") -> str:
    """Key of the nth notice of one kind on a case: sent at most once. `within` names the workflow beside the case."""
    return payment_key(case, f"notice.{about}" + (f".{within}" if within else ""), n)


def shortfall_notice_key(batch: str, n: int = 1) -> str:
    """Key of the nth notice of a shortfall, `m1:c1.CNY:notice.shortfall:1`: sent at most once."""
    return f"{batch}:notice.shortfall:{n}"


def previous_key(key: str) -> str | None:
    """The key of the attempt (`m:r:refund.pay-1:2`), or of the part of a recovery (`{ref}:set_off.2`), before; None for
    the first one."""
    purpose, _, last = key.rpartition(":")
    if last.isdigit():
        return f"{purpose}:{int(last) - 1}" if int(last) > 1 else None
    step, _, n = last.rpartition(".")
    if not step or not n.isdigit() or int(n) < 2:
        return None
    return recovery_key(purpose, step, int(n) - 1)


def account_key(refund: str) -> str:
    """The first key of the payout that stands in place of a refund: `m:r:refund.pay-1:2` gives `m:r:payout.pay-1:1`.
    A purpose of its own: the refund's numbers and the payout's rise apart."""
    return _in_place(refund, "payout")


def claim_key(unclaimed: str, n: int) -> str:
    """The first key under which correction `n` pays out unclaimed money: `m:r:claim1.pay-1:1`."""
    return _in_place(unclaimed, f"claim{n}")


def _in_place(key: str, purpose: str) -> str:
    pieces = key.split(":")
    if len(pieces) != 4:
        raise Refusal("invalid_id", f"{key!r} is not a payment key", field="key")
    merchant_id, rma_id, was, _ = pieces
    return payment_key(CaseId(merchant_id, rma_id), f"{purpose}.{was.removeprefix('refund.')}")


def batch_key(merchant_id: str, cut: str) -> str:
    """Payout key of a merchant's settlement batch."""
    return f"{part(merchant_id, 'merchant_id')}:settlement:{part(cut, 'cut')}:1"
