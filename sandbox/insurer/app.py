"""The insurer: coverages, claims, payments and recoveries."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette

from sandbox.common.book import Row
from sandbox.common.clock import now_us
from sandbox.common.control_plane import add_control_plane, keep_script, script_within
from sandbox.common.due import Work
from sandbox.common.errors import Refusal
from sandbox.common.party import Party
from sandbox.common.settings import PartySettings
from sandbox.common.wire import Body, Call, Made, Nothing
from sandbox.insurer.wire import Approval, Coverage, NewClaim, NewPayment, NewRemittance, NewReturn, Release, Script

SCHEMA = """
CREATE TABLE IF NOT EXISTS coverages (
  coverage_id TEXT PRIMARY KEY, order_id TEXT NOT NULL, kind TEXT NOT NULL, sum_insured INTEGER NOT NULL,
  currency TEXT NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS coverages_of ON coverages (order_id);
CREATE TABLE IF NOT EXISTS claims (
  claim_ref TEXT PRIMARY KEY, claim_no TEXT NOT NULL UNIQUE, coverage_id TEXT NOT NULL, kind TEXT NOT NULL,
  amount INTEGER NOT NULL, currency TEXT NOT NULL, state TEXT NOT NULL, asked INTEGER NOT NULL DEFAULT 0,
  approved_amount INTEGER NOT NULL DEFAULT 0, paid_amount INTEGER NOT NULL DEFAULT 0,
  recovered_amount INTEGER NOT NULL DEFAULT 0, reserved_amount INTEGER NOT NULL DEFAULT 0,
  complex INTEGER NOT NULL DEFAULT 0, code TEXT, payment_ref TEXT);
CREATE INDEX IF NOT EXISTS claims_of ON claims (coverage_id);
"""

_COVER_OF = {"freight": "RFI", "loss": "RDV"}
# What a claim takes from its coverage: its reserve while it is undecided, then what was approved, then what was paid.
# What came back of it can be claimed again: nobody is covered for less because a claim was overturned.
_TAKEN = """SELECT sum(CASE WHEN state = 'reserved' THEN reserved_amount
            WHEN state = 'pending' THEN max(reserved_amount, asked)
            WHEN state IN ('approved', 'paid') THEN max(approved_amount, paid_amount) ELSE paid_amount END
            - recovered_amount)
            FROM claims WHERE coverage_id = ? AND claim_ref <> ?"""


class Insurer(Party):
    """The insurer. It pays approved claims only, and never more than was approved."""

    def __init__(self, settings: PartySettings) -> None:
        super().__init__("insurer", settings, SCHEMA)
        self.read("/v1/coverages", self._coverages)
        self.operation("/v1/claims", "claim", NewClaim, self._claim)
        # The calls on a claim come first: a claim's reference may contain slashes.
        self.operation("/v1/claims/{claim_ref:path}/approve", "approval", Approval, self._approve)
        self.operation("/v1/claims/{claim_ref:path}/pay", "payment", NewPayment, self._pay)
        self.operation("/v1/claims/{claim_ref:path}/return", "return", NewReturn, self._give_back)
        self.operation("/v1/claims/{claim_ref:path}/close", "close", Nothing, self._close)
        self.read("/v1/claims/{claim_ref:path}", self._read_claim)
        self.operation("/v1/remittances", "recovery", NewRemittance, self._remit)
        add_control_plane(self)
        self.control("/coverages", Coverage, self._bind)
        self.control("/scripts", Script, self._script)
        self.control("/release", Release, self._release)

    def work(self) -> dict[str, Work]:
        """Some decisions come later."""
        return {"decide": self._decide_later, "pay": self._pay_later}

    def live(self, kind: str, ref: str, body: Body) -> Body:
        """A claim, its decision and its late payments as they are now; what else was done does not change."""
        if kind == "payment":
            known = self.book.one("SELECT 1 FROM statement WHERE ref = ?", body["payment_ref"])
            return {} if known is None else {"state": "paid"}
        if kind not in ("claim", "approval"):
            return {}
        claim = _view(self._get(ref))
        return {name: claim[name] for name in claim if name not in ("kind", "amount")}

    def _coverages(self, call: Call[Nothing]) -> Body:
        order_id = call.query.get("order_id")
        if not order_id:
            raise Refusal(422, "invalid_request", "say which order", field="order_id")
        rows = self.book.all("SELECT * FROM coverages WHERE order_id = ? ORDER BY rowid", order_id)
        return {"coverages": [json.loads(row["body"]) | {"remaining": self._remaining(row)} for row in rows]}

    def _claim(self, call: Call[NewClaim]) -> Made:
        wanted = call.body
        coverage = self.book.one("SELECT * FROM coverages WHERE coverage_id = ?", wanted.coverage_id)
        if coverage is None:
            raise Refusal(404, "coverage_unknown", "there is no such coverage", field="coverage_id")
        if coverage["kind"] != _COVER_OF[wanted.kind]:
            raise Refusal(422, "kind_mismatch", f"{coverage['kind']} does not cover {wanted.kind}", field="kind")
        if coverage["currency"] != wanted.currency:
            raise Refusal(422, "currency_mismatch", f"the coverage is in {coverage['currency']}", field="currency")
        if self.book.one("SELECT 1 FROM claims WHERE claim_ref = ?", wanted.claim_ref) is not None:
            raise Refusal(409, "claim_exists", "this claim was made already", field="claim_ref")
        self._refuse_beyond(wanted.amount, self._remaining(coverage))
        claim_no = self.book.new_id("CL", wanted.claim_ref, digits=True)
        sql = """INSERT INTO claims (claim_ref, claim_no, coverage_id, kind, amount, reserved_amount, currency, state)
                 VALUES (?, ?, ?, ?, ?, ?, ?, 'reserved')"""
        where = (wanted.claim_ref, claim_no, wanted.coverage_id, wanted.kind)
        self.book.run(sql, *where, wanted.amount, wanted.amount, wanted.currency)
        body = _view(self._get(wanted.claim_ref))
        return Made(body, wanted.claim_ref, 201, wanted.amount, wanted.currency)

    def _approve(self, call: Call[Approval]) -> Made:
        claim = self._get(call.path["claim_ref"])
        if claim["state"] != "reserved":
            raise Refusal(409, "already_decided", f"the claim is {claim['state']}", state=claim["state"])
        ref, amount = claim["claim_ref"], call.body.amount
        coverage = self.book.one("SELECT * FROM coverages WHERE coverage_id = ?", claim["coverage_id"])
        assert coverage is not None
        self._refuse_beyond(amount, self._remaining(coverage, without=ref))
        script = script_within(self.book, ref, Script) or Script(match="*")
        sql = "UPDATE claims SET state = 'pending', asked = ?, complex = ?, reserved_amount = ? WHERE claim_ref = ?"
        reserve = claim["reserved_amount"] if script.reserve is None else script.reserve
        self.book.run(sql, amount, int(script.complex), reserve, ref)
        approved = amount if script.approved is None else script.approved
        if script.after_ms is not None:
            payload = {"outcome": script.outcome, "code": script.code, "approved": approved}
            self.book.plan("decide", ref, payload, at_us=call.now_us + script.after_ms * 1000)
        elif script.decision == "pending":
            payload = {"outcome": script.outcome, "code": script.code, "approved": approved}
            self.book.plan("decide", ref, payload, at_us=call.now_us, held=True)
        else:
            self._decide(ref, script.decision, script.code, approved)
        return Made(_view(self._get(ref)), ref, 200, amount, claim["currency"])

    def _pay(self, call: Call[NewPayment]) -> Made:
        claim, wanted = self._get(call.path["claim_ref"]), call.body
        ref = claim["claim_ref"]
        if claim["state"] not in ("approved", "paid"):
            raise Refusal(409, "not_approved", f"the claim is {claim['state']}", state=claim["state"])
        if claim["currency"] != wanted.currency:
            raise Refusal(422, "currency_mismatch", f"the claim is in {claim['currency']}", field="currency")
        left = claim["approved_amount"] - claim["paid_amount"]
        if wanted.amount > left:
            message = f"{left} of the approved amount can still be paid"
            raise Refusal(422, "exceeds_approved", message, field="amount", remaining=left)
        payment_ref = self.book.new_id("pay_", call.key)
        script = script_within(self.book, ref, Script) or Script(match="*")
        body = {"claim_ref": ref, "state": "paid", "payment_ref": payment_ref} | wanted.model_dump()
        if script.payment == "refuse":
            body |= {"state": "refused", "code": "payment_refused"}
        elif script.payment == "late":
            body["state"] = "accepted"
            payload = body | {"key": call.key}
            at_us = call.now_us + (script.pay_after_ms or 0) * 1000
            self.book.plan("pay", ref, payload, at_us=at_us, held=script.pay_after_ms is None)
        else:
            self._paid(call.key, body, call.now_us)
        return Made(body, ref, 200, wanted.amount, wanted.currency, wanted.payee)

    def _pay_later(self, claim_ref: str, payload: dict[str, Any]) -> None:
        self._paid(payload["key"], payload, now_us())

    def _paid(self, key: str, body: Body, at_us: int) -> None:
        claim, amount = self._get(body["claim_ref"]), body["amount"]
        state = "paid" if claim["paid_amount"] + amount >= claim["approved_amount"] else "approved"
        sql = "UPDATE claims SET paid_amount = paid_amount + ?, payment_ref = ?, state = ? WHERE claim_ref = ?"
        self.book.run(sql, amount, body["payment_ref"], state, claim["claim_ref"])
        self.book.post(
            key=key, kind="payment", ref=body["payment_ref"], amount=amount, currency=body["currency"],
            payee=body["payee"], at_us=at_us,
        )  # fmt: skip

    def _give_back(self, call: Call[NewReturn]) -> Made:
        claim, wanted = self._get(call.path["claim_ref"]), call.body
        if claim["currency"] != wanted.currency:
            raise Refusal(422, "currency_mismatch", f"the claim is in {claim['currency']}", field="currency")
        left = claim["recovered_amount"]
        if wanted.amount > left:
            raise Refusal(422, "exceeds_recovered", f"{left} was recovered", field="amount", remaining=left)
        sql = "UPDATE claims SET recovered_amount = recovered_amount - ? WHERE claim_ref = ?"
        self.book.run(sql, wanted.amount, claim["claim_ref"])
        return_ref = self.book.new_id("ret_", call.key)
        self.book.post(
            key=call.key, kind="return", ref=return_ref, amount=wanted.amount, currency=wanted.currency,
            payee="platform", at_us=call.now_us,
        )  # fmt: skip
        body = {"state": "paid", "payment_ref": return_ref} | wanted.model_dump()
        return Made(body, claim["claim_ref"], 200, wanted.amount, wanted.currency, "platform")

    def _close(self, call: Call[Nothing]) -> Made:
        ref = self._get(call.path["claim_ref"])["claim_ref"]
        self.book.unplan("decide", ref)
        self.book.run("UPDATE claims SET state = 'closed' WHERE claim_ref = ?", ref)
        return Made(_view(self._get(ref)), ref)

    def _remit(self, call: Call[NewRemittance]) -> Made:
        wanted = call.body
        claim = self._get(wanted.claim_ref)
        if claim["currency"] != wanted.currency:
            raise Refusal(422, "currency_mismatch", f"the claim is in {claim['currency']}", field="currency")
        left = claim["approved_amount"] - claim["recovered_amount"]
        if wanted.amount > left:
            message = f"{left} of the approved amount can still be recovered"
            raise Refusal(422, "exceeds_approved", message, field="amount", remaining=left)
        sql = "UPDATE claims SET recovered_amount = recovered_amount + ? WHERE claim_ref = ?"
        self.book.run(sql, wanted.amount, wanted.claim_ref)
        remittance_ref = self.book.new_id("rem_", call.key)
        self.book.post(
            key=call.key, kind="recovery", ref=remittance_ref, amount=wanted.amount, currency=wanted.currency,
            payee="insurer", at_us=call.now_us,
        )  # fmt: skip
        body = {"state": "received", "remittance_ref": remittance_ref} | wanted.model_dump()
        return Made(body, wanted.claim_ref, 201, wanted.amount, wanted.currency, "insurer")

    def _read_claim(self, call: Call[Nothing]) -> Body:
        return _view(self._get(call.path["claim_ref"]))

    def _bind(self, call: Call[Coverage]) -> Body:
        cover = call.body
        text = json.dumps(cover.model_dump(), sort_keys=True)
        known = self.book.one("SELECT body FROM coverages WHERE coverage_id = ?", cover.coverage_id)
        if known is not None and known["body"] != text:
            raise Refusal(409, "coverage_exists", "another coverage has this id", field="coverage_id")
        if known is None:
            sql = "INSERT INTO coverages VALUES (?, ?, ?, ?, ?, ?)"
            what = (cover.coverage_id, cover.order_id, cover.kind, cover.sum_insured, cover.currency)
            self.book.run(sql, *what, text)
            self.book.post(
                key=cover.coverage_id, kind="premium", ref=cover.order_id, amount=cover.premium,
                currency=cover.currency, payee="insurer", at_us=call.now_us,
            )  # fmt: skip
        return cover.model_dump()

    def _script(self, call: Call[Script]) -> Body:
        keep_script(self.book, call.body.match, call.body)
        return {"match": call.body.match}

    def _release(self, call: Call[Release]) -> Body:
        """Let decisions and payments that wait without an end come now."""
        released = 0
        for row in self.book.all("SELECT id, subject FROM due WHERE held = 1"):
            if call.body.match in row["subject"]:
                self.book.run("UPDATE due SET held = 0, at_us = ? WHERE id = ?", call.now_us, row["id"])
                released += 1
        return {"released": released}

    def _decide_later(self, claim_ref: str, payload: dict[str, Any]) -> None:
        self._decide(claim_ref, payload["outcome"], payload["code"], payload["approved"])

    def _decide(self, claim_ref: str, outcome: str, code: str | None, approved: int) -> None:
        state = "approved" if outcome == "approve" else "denied"
        sql = """UPDATE claims SET state = ?, code = ?, approved_amount = CASE WHEN ? = 'approved' THEN ? ELSE 0 END
                 WHERE claim_ref = ? AND state = 'pending'"""
        self.book.run(sql, state, code if state == "denied" else None, state, approved, claim_ref)

    def _get(self, claim_ref: str) -> Row:
        row = self.book.one("SELECT * FROM claims WHERE claim_ref = ?", claim_ref)
        if row is None:
            raise Refusal(404, "claim_unknown", "there is no such claim")
        return row

    def _remaining(self, coverage: Row, *, without: str = "") -> int:
        return int(coverage["sum_insured"]) - self.book.number(_TAKEN, coverage["coverage_id"], without)

    def _refuse_beyond(self, amount: int, remaining: int) -> None:
        if amount > remaining:
            message = f"{remaining} of the sum insured is left"
            raise Refusal(422, "exceeds_remaining", message, field="amount", remaining=remaining)


def _view(claim: Row) -> Body:
    names = (
        "claim_ref", "claim_no", "coverage_id", "kind", "state", "amount", "currency", "approved_amount",
        "paid_amount", "recovered_amount", "reserved_amount", "code", "payment_ref",
    )  # fmt: skip
    return {name: claim[name] for name in names} | {"complex": bool(claim["complex"])}


def create_app(settings: PartySettings) -> Starlette:
    """The insurer as an ASGI application on the book that `settings` names."""
    return Insurer(settings).app()
