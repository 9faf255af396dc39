"""Compensation that the courier owes for goods it lost or damaged."""

from __future__ import annotations

from typing import Any

from sandbox.common.book import Book, Row
from sandbox.common.clock import now_us, rfc3339_or_none
from sandbox.common.control_plane import loads
from sandbox.common.errors import Refusal
from sandbox.common.wire import Body, Call, Made, Nothing
from sandbox.courier.parcels import Parcels
from sandbox.courier.scripts import Scripts
from sandbox.courier.wire import DemandAnswer, NewDemand, NewSetOff

_UNDECLARED_FREIGHTS = 3


class Demands:
    """Demands and their answers. The courier pays accepted ones in cash, by itself.

    It owes at most what was declared for the waybill, or three times the freight where nothing was declared; the cap
    is shared by all demands for the waybill.
    """

    def __init__(self, book: Book, scripts: Scripts, parcels: Parcels) -> None:
        self._book = book
        self._scripts = scripts
        self._parcels = parcels

    def receive(self, call: Call[NewDemand]) -> Made:
        """Take a demand; it is answered later, or never."""
        wanted = call.body
        waybill = self._parcels.get(wanted.waybill)["waybill"]
        if self._book.one("SELECT 1 FROM demands WHERE claim_ref = ?", wanted.claim_ref) is not None:
            raise Refusal(409, "demand_exists", "this claim has been demanded already", field="claim_ref")
        self._book.run(
            "INSERT INTO demands VALUES (?, ?, ?, ?, ?, 'received', NULL, NULL, NULL, 0)",
            wanted.claim_ref, waybill, wanted.amount, wanted.currency, wanted.reason,
        )  # fmt: skip
        script = self._script(waybill)
        if script.answer != "silent":
            at = call.now_us + script.after_ms * 1000
            self._book.plan("demand", wanted.claim_ref, {}, at_us=at, held=script.hold)
        body = self.view(self._get(wanted.claim_ref))
        return Made(body, wanted.claim_ref, 202, wanted.amount, wanted.currency, "platform")

    def read(self, call: Call[Nothing]) -> Body:
        """GET a demand."""
        return self.view(self._get(call.path["claim_ref"]))

    def view(self, demand: Row) -> Body:
        """A demand as its claimant sees it."""
        names = (
            "claim_ref", "waybill", "amount", "currency", "state", "accepted_amount", "payment_ref", "paid_amount",
        )  # fmt: skip
        shown = {name: demand[name] for name in names} | {"paid_at": rfc3339_or_none(demand["paid_us"])}
        return shown | {"set_off_amount": self._set_off(demand["claim_ref"])}

    def set_off(self, call: Call[NewSetOff]) -> Made:
        """The claimant declares a set-off: so much less is paid in cash. Not above what is left of the demand."""
        wanted = call.body
        demand = self._get(wanted.claim_ref)
        left = demand["amount"] - self._set_off(wanted.claim_ref) - demand["paid_amount"]
        if wanted.amount > left and demand["paid_amount"]:
            raise Refusal(409, "already_paid", f"paid in cash: {left} of the demand is left")
        if wanted.amount > left:
            raise Refusal(422, "exceeds_demand", "more is set off than was demanded", field="amount")
        ref = self._book.new_id("so_", call.key)
        sql = "INSERT INTO set_offs VALUES (?, ?, ?, ?)"
        self._book.run(sql, ref, wanted.claim_ref, wanted.amount, wanted.currency)
        self._book.post(
            key=call.key, kind="set_off", ref=ref, amount=wanted.amount, currency=wanted.currency, payee="platform",
            at_us=call.now_us,
        )  # fmt: skip
        body = {"set_off_id": ref, "state": "noted", "claim_ref": wanted.claim_ref, "amount": wanted.amount}
        return Made(body | {"currency": wanted.currency}, ref, 201, wanted.amount, wanted.currency, "platform")

    def live(self, claim_ref: str) -> Body:
        """The demand as it is now, for a look-up by key."""
        return self.view(self._get(claim_ref))

    def answer(self, claim_ref: str, _: dict[str, Any]) -> None:
        """Planned work: accept or contest."""
        demand = self._get(claim_ref)
        script = self._script(demand["waybill"])
        most = min(demand["amount"], self._cap(demand))
        accepted = most if script.accepted_amount is None else min(most, script.accepted_amount)
        if script.answer == "contest" or accepted <= 0:
            self._book.run("UPDATE demands SET state = 'contested' WHERE claim_ref = ?", claim_ref)
            return
        sql = "UPDATE demands SET state = 'accepted', accepted_amount = ? WHERE claim_ref = ?"
        self._book.run(sql, accepted, claim_ref)
        if script.pay_after_ms is not None:
            self._book.plan("demand_pay", claim_ref, {}, at_us=now_us() + script.pay_after_ms * 1000)

    def pay(self, claim_ref: str, _: dict[str, Any]) -> None:
        """Planned work: pay what was accepted and not set off."""
        demand, now = self._get(claim_ref), now_us()
        owed = self._owed(demand)
        if owed <= 0:
            return
        payment_ref = self._book.new_id("cmp_", claim_ref)
        sql = "UPDATE demands SET state = 'paid', payment_ref = ?, paid_us = ?, paid_amount = ? WHERE claim_ref = ?"
        self._book.run(sql, payment_ref, now, owed, claim_ref)
        self._book.post(
            key=claim_ref, kind="compensation", ref=payment_ref, amount=owed,
            currency=demand["currency"], payee="platform", at_us=now,
        )  # fmt: skip

    def _set_off(self, claim_ref: str) -> int:
        return self._book.number("SELECT sum(amount) FROM set_offs WHERE claim_ref = ?", claim_ref)

    def _owed(self, demand: Row) -> int:
        """What of an accepted demand is to be paid in cash."""
        return int(demand["accepted_amount"] or 0) - self._set_off(demand["claim_ref"])

    def _get(self, claim_ref: str) -> Row:
        row = self._book.one("SELECT * FROM demands WHERE claim_ref = ?", claim_ref)
        if row is None:
            raise Refusal(404, "demand_unknown", f"there is no demand {claim_ref}")
        return row

    def _script(self, waybill: str) -> DemandAnswer:
        sql = "SELECT DISTINCT case_ref FROM items WHERE waybill = ? AND removed = 0 ORDER BY rowid"
        return self._scripts.demand([row["case_ref"] for row in self._book.all(sql, waybill)])

    def _cap(self, demand: Row) -> int:
        """What is left of the courier's liability for the waybill."""
        waybill = demand["waybill"]
        parcel = self._parcels.get(waybill)
        declared, proven = loads(parcel["declared"]), loads(parcel["proven_freight"])
        if isinstance(declared, dict):
            cap = int(declared["amount"])
        else:
            freight = self._book.number("SELECT amount FROM invoices WHERE waybill = ?", waybill)
            if not freight and isinstance(proven, dict):
                freight = int(proven["amount"])
            cap = _UNDECLARED_FREIGHTS * freight
        return cap - self._book.number("SELECT sum(accepted_amount) FROM demands WHERE waybill = ?", waybill)
