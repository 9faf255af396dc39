"""The payment provider: captured payments, refunds, payouts, and charges to a consumer's own account."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from pydantic import Field, model_validator
from starlette.applications import Starlette

from sandbox.common.book import Row
from sandbox.common.clock import now_us, rfc3339, rfc3339_or_none
from sandbox.common.control_plane import add_control_plane, keep_script, script_within
from sandbox.common.due import Work
from sandbox.common.errors import Refusal
from sandbox.common.party import Party
from sandbox.common.settings import PartySettings
from sandbox.common.webhooks import SCHEMA as WEBHOOKS
from sandbox.common.webhooks import Webhooks, add_webhooks
from sandbox.common.wire import Amount, Body, Call, Currency, Made, Millis, Strict, Text

SCHEMA = f"""{WEBHOOKS}
CREATE TABLE IF NOT EXISTS payments (
  payment_id TEXT PRIMARY KEY, amount INTEGER NOT NULL, currency TEXT NOT NULL, payee TEXT NOT NULL,
  payer TEXT NOT NULL, captured_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS transfers (
  id TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, payment_id TEXT, reference TEXT,
  payee TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL, state TEXT NOT NULL, code TEXT,
  settled_us INTEGER, bounced_us INTEGER, lookups INTEGER, then_state TEXT, then_code TEXT, payer TEXT);
CREATE INDEX IF NOT EXISTS transfers_of ON transfers (payment_id);
CREATE TABLE IF NOT EXISTS charges (
  id TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, payer TEXT NOT NULL, reference TEXT NOT NULL, amount INTEGER NOT NULL,
  collected INTEGER NOT NULL, currency TEXT NOT NULL, state TEXT NOT NULL, code TEXT, settled_us INTEGER);
CREATE TABLE IF NOT EXISTS accounts (payee TEXT PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS payers (payer TEXT PRIMARY KEY, state TEXT NOT NULL);
"""

Code = Literal["account_abnormal", "channel_closed", "insufficient_balance"]


class NewPayment(Strict):
    """A payment that was captured; `payer` is the consumer, `payee` the merchant."""

    payment_id: Text
    amount: Amount
    currency: Currency
    payee: Text
    payer: Text


class NewRefund(Strict):
    """Money back from a captured payment."""

    payment_id: Text
    amount: Amount
    currency: Currency
    payee: Text


class NewPayout(Strict):
    """Money out to a payee."""

    payee: Text
    amount: Amount
    currency: Currency
    reference: Text


class NewCharge(Strict):
    """Money owed, taken from what a consumer pays with. It goes to the platform."""

    payer: Text
    amount: Amount
    currency: Currency
    reference: Text


class Script(Strict):
    """What becomes of transfers and charges whose key contains `match`. `collects`: the most that a charge gets.

    `state` is the first state. A pending transfer turns to `then` after `after_ms`, or at its look-up number `lookups`
    where that is given; without `then` it stays pending. A transfer that succeeded bounces after `bounce_ms`.
    `code` says why it fails in the end, `pending_code` why it is pending.
    """

    match: Text
    state: Literal["succeeded", "pending", "failed"] = "succeeded"
    then: Literal["succeeded", "failed"] | None = None
    after_ms: Millis = 300
    code: Code | None = None
    pending_code: Code | None = None
    collects: Amount | None = None
    lookups: int | None = Field(default=None, ge=1)
    bounce_ms: Millis | None = None

    @model_validator(mode="after")
    def _only_pending_turns(self) -> Script:
        if self.then is not None and self.state != "pending":
            raise ValueError("only a pending transfer turns to something")
        if self.code is None and "failed" in (self.state, self.then):
            raise ValueError("a failure has a code")
        return self


class Account(Strict):
    """Whether a payee's account takes money."""

    payee: Text
    state: Literal["abnormal", "normal"]


class Payer(Strict):
    """Whether the account that refunds are paid from has money. While it is `short`, refunds of the payer's payments
    stay pending with `insufficient_balance`; `funded` lets them succeed, `closed` ends them as `channel_closed`."""

    payer: Text
    state: Literal["short", "funded", "closed"]


class ChargeEnd(Strict):
    """A pending charge succeeds, or fails with the `code`, now."""

    key: Text
    code: Code | None = None


class Bounce(Strict):
    """A refund that succeeded and comes back now: the payee's bank did not take it."""

    key: Text


class Psp(Party):
    """The payment provider. What it pays back never exceeds what it captured."""

    def __init__(self, settings: PartySettings) -> None:
        super().__init__("psp", settings, SCHEMA)
        self.operation("/v1/refunds", "refund", NewRefund, self._refund)
        self.operation("/v1/payouts", "payout", NewPayout, self._payout)
        self.operation("/v1/charges", "charge", NewCharge, self._charge)
        add_control_plane(self)
        self.control("/payments", NewPayment, self._capture)
        self.control("/scripts", Script, self._script)
        self.control("/accounts", Account, self._account)
        self.control("/payers", Payer, self._payer)
        self.control("/bounces", Bounce, self._bounce_now)
        self.control("/charges", ChargeEnd, self._charge_now)
        self.webhooks = Webhooks(self.book, self.faults, settings)
        add_webhooks(self, self.webhooks)

    def work(self) -> dict[str, Work]:
        """Pending transfers settle later."""
        return {"settle": self._settle_later, "charge": self._charge_later, "bounce": self._bounce}

    def changed(self) -> None:
        """Planned work or a webhook may be due."""
        super().changed()
        self.webhooks.wake()

    def tasks(self) -> list[Callable[[], Awaitable[None]]]:
        """Webhooks are delivered beside the requests."""
        return [*super().tasks(), self.webhooks.run]

    def live(self, kind: str, ref: str, body: Body) -> Body:
        """A transfer as it is now."""
        if kind == "charge":
            return _charge_view(self._charge_of(ref))
        with self.book.transaction():
            self._looked_up(ref)
            row = self.book.one("SELECT * FROM transfers WHERE id = ?", ref)
        return {} if row is None else _view(row)

    def _looked_up(self, transfer_id: str) -> None:
        """Count one look-up of a pending transfer that waits for some."""
        sql = "UPDATE transfers SET lookups = lookups - 1 WHERE id = ? AND state = 'pending' AND lookups > 0"
        if self.book.run(sql, transfer_id):
            row = self._transfer_of(transfer_id)
            if row["lookups"] == 0:
                self._settle(transfer_id, row["then_state"], row["then_code"])

    def _transfer_of(self, transfer_id: str) -> Row:
        row = self.book.one("SELECT * FROM transfers WHERE id = ?", transfer_id)
        assert row is not None
        return row

    def _refund(self, call: Call[NewRefund]) -> Made:
        wanted = call.body
        payment = self.book.one("SELECT * FROM payments WHERE payment_id = ?", wanted.payment_id)
        if payment is None:
            raise Refusal(404, "payment_unknown", "there is no such payment", field="payment_id")
        if payment["currency"] != wanted.currency:
            raise Refusal(422, "currency_mismatch", f"the payment is in {payment['currency']}", field="currency")
        sql = "SELECT sum(amount) FROM transfers WHERE payment_id = ? AND state <> 'failed'"
        remainder = payment["amount"] - self.book.number(sql, wanted.payment_id)
        if wanted.amount > remainder:
            message = f"{remainder} of the captured amount can still be refunded"
            raise Refusal(422, "exceeds_capture", message, field="amount", remainder=remainder)
        return self._transfer(call, "refund", payment_id=wanted.payment_id, payer=payment["payee"])

    def _payout(self, call: Call[NewPayout]) -> Made:
        return self._transfer(call, "payout", reference=call.body.reference)

    def _transfer(
        self, call: Call[NewRefund] | Call[NewPayout], kind: str, *, payment_id: str | None = None,
        reference: str | None = None, payer: str | None = None,
    ) -> Made:  # fmt: skip
        wanted, key = call.body, call.key
        script = script_within(self.book, key, Script) or Script(match="*")
        account = self.book.one("SELECT state FROM payers WHERE payer = ?", payer)
        if account is not None and account["state"] != "funded":
            script = Script(match="*", state="pending", pending_code="insufficient_balance")
        transfer_id = self.book.new_id("rf_" if kind == "refund" else "po_", key)
        self.book.run(
            "INSERT INTO transfers VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, NULL, NULL, ?, ?, ?, ?)",
            transfer_id, key, kind, payment_id, reference, wanted.payee, wanted.amount, wanted.currency,
            script.pending_code, script.lookups, script.then, script.code, payer,
        )  # fmt: skip
        if script.bounce_ms is not None:
            self.book.plan("bounce", transfer_id, {}, at_us=call.now_us + script.bounce_ms * 1000)
        if script.state != "pending":
            self._settle(transfer_id, script.state, script.code)
        elif script.then is not None and script.lookups is None:
            payload = {"state": script.then, "code": script.code}
            self.book.plan("settle", transfer_id, payload, at_us=call.now_us + script.after_ms * 1000)
        row = self.book.one("SELECT * FROM transfers WHERE id = ?", transfer_id)
        assert row is not None
        return Made(_view(row), transfer_id, 201, wanted.amount, wanted.currency, wanted.payee)

    def _settle_later(self, transfer_id: str, payload: dict[str, Any]) -> None:
        self._settle(transfer_id, payload["state"], payload["code"])

    def _settle(self, transfer_id: str, state: str, code: str | None) -> None:
        """End a pending transfer. An abnormal account fails what would have succeeded."""
        row = self.book.one("SELECT * FROM transfers WHERE id = ? AND state = 'pending'", transfer_id)
        if row is None:
            return
        account = self.book.one("SELECT state FROM accounts WHERE payee = ?", row["payee"])
        if state == "succeeded" and account is not None and account["state"] == "abnormal":
            state, code = "failed", "account_abnormal"
        now = now_us()
        sql = "UPDATE transfers SET state = ?, code = ?, settled_us = ? WHERE id = ?"
        self.book.run(sql, state, code if state == "failed" else None, now, transfer_id)
        if state == "succeeded":
            self.book.post(
                key=row["key"], kind=row["kind"], ref=transfer_id, amount=row["amount"], currency=row["currency"],
                payee=row["payee"], at_us=now,
            )  # fmt: skip
        self._tell("settled", transfer_id)

    def _bounce_now(self, call: Call[Bounce]) -> Body:
        row = self.book.one("SELECT * FROM transfers WHERE key = ?", call.body.key)
        if row is None or row["state"] != "succeeded":
            raise Refusal(409, "not_succeeded", "only what succeeded can come back", field="key")
        self._bounce(row["id"], {})
        return _view(self._transfer_of(row["id"]))

    def _bounce(self, transfer_id: str, payload: dict[str, Any]) -> None:
        """What succeeded comes back, once: a row of its own in the statement. It still succeeded under its key."""
        row, now = self._transfer_of(transfer_id), now_us()
        if row["state"] == "pending":
            self.book.plan("bounce", transfer_id, payload, at_us=now + 200_000)
        if row["state"] != "succeeded" or row["bounced_us"] is not None:
            return
        self.book.run("UPDATE transfers SET bounced_us = ? WHERE id = ?", now, transfer_id)
        self.book.post(
            key=row["key"], kind="bounce", ref=transfer_id, amount=row["amount"], currency=row["currency"],
            payee=row["payee"], at_us=now,
        )  # fmt: skip
        self._tell("bounced", transfer_id)

    def _tell(self, what: str, transfer_id: str) -> None:
        """A webhook about a transfer that settled or came back."""
        view = _view(self._transfer_of(transfer_id))
        event_id = self.book.new_id("pev_", what, transfer_id)
        body = {"event_id": event_id, "type": what, "occurred_at": rfc3339(now_us()), "transfer": view}
        text = json.dumps(body, separators=(",", ":"))
        self.webhooks.enqueue(event_id, view["key"], what, text, text)

    def _charge(self, call: Call[NewCharge]) -> Made:
        """A charge to the payer's own account: all of it, a part, or nothing, as scripted."""
        wanted, key = call.body, call.key
        script = script_within(self.book, key, Script) or Script(match="*")
        charge_id = self.book.new_id("ch_", key)
        self.book.run(
            "INSERT INTO charges VALUES (?, ?, ?, ?, ?, 0, ?, 'pending', ?, NULL)",
            charge_id, key, wanted.payer, wanted.reference, wanted.amount, wanted.currency, script.pending_code,
        )  # fmt: skip
        payload = {"state": script.then or script.state, "code": script.code, "collects": script.collects}
        if script.state != "pending":
            self._charge_later(charge_id, payload)
        elif script.then is not None:
            self.book.plan("charge", charge_id, payload, at_us=call.now_us + script.after_ms * 1000)
        view = _charge_view(self._charge_of(charge_id))
        return Made(view, charge_id, 201, wanted.amount, wanted.currency, "platform")

    def _charge_now(self, call: Call[ChargeEnd]) -> Body:
        row = self.book.one("SELECT * FROM charges WHERE key = ?", call.body.key)
        if row is None or row["state"] != "pending":
            raise Refusal(409, "not_pending", "only what is pending can end", field="key")
        code = call.body.code
        self._charge_later(row["id"], {"state": "failed" if code else "succeeded", "code": code, "collects": None})
        return _charge_view(self._charge_of(row["id"]))

    def _charge_later(self, charge_id: str, payload: dict[str, Any]) -> None:
        """End a pending charge. Nothing is taken from an abnormal account."""
        row, state, code = self._charge_of(charge_id), payload["state"], payload["code"]
        if row["state"] != "pending":
            return
        account = self.book.one("SELECT state FROM accounts WHERE payee = ?", row["payer"])
        if state == "succeeded" and account is not None and account["state"] == "abnormal":
            state, code = "failed", "account_abnormal"
        collected = min(row["amount"], payload["collects"] or row["amount"]) if state == "succeeded" else 0
        now = now_us()
        sql = "UPDATE charges SET state = ?, code = ?, collected = ?, settled_us = ? WHERE id = ?"
        self.book.run(sql, state, code if state == "failed" else None, collected, now, charge_id)
        if state == "succeeded":
            self.book.post(
                key=row["key"], kind="charge", ref=charge_id, amount=collected, currency=row["currency"],
                payee="platform", at_us=now,
            )  # fmt: skip

    def _charge_of(self, charge_id: str) -> Row:
        row = self.book.one("SELECT * FROM charges WHERE id = ?", charge_id)
        assert row is not None
        return row

    def _capture(self, call: Call[NewPayment]) -> Body:
        paid = call.body
        known = self.book.one("SELECT * FROM payments WHERE payment_id = ?", paid.payment_id)
        if known is not None:
            if any(known[name] != value for name, value in paid.model_dump().items()):
                raise Refusal(409, "payment_exists", "another payment has this id", field="payment_id")
            return paid.model_dump() | {"captured_at": rfc3339(known["captured_us"])}
        sql = "INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?)"
        self.book.run(sql, paid.payment_id, paid.amount, paid.currency, paid.payee, paid.payer, call.now_us)
        self.book.post(
            key=paid.payment_id, kind="capture", ref=paid.payment_id, amount=paid.amount, currency=paid.currency,
            payee=paid.payee, at_us=call.now_us,
        )  # fmt: skip
        return paid.model_dump() | {"captured_at": rfc3339(call.now_us)}

    def _script(self, call: Call[Script]) -> Body:
        keep_script(self.book, call.body.match, call.body)
        return {"match": call.body.match}

    def _payer(self, call: Call[Payer]) -> Body:
        """The payer's account changes: what waits for its money settles, or is ended by the channel."""
        payer, state = call.body.payer, call.body.state
        self.book.run("INSERT OR REPLACE INTO payers VALUES (?, ?)", payer, "funded" if state == "funded" else "short")
        sql = "SELECT id FROM transfers WHERE payer = ? AND state = 'pending' AND code = 'insufficient_balance'"
        for row in self.book.all(sql, payer):
            if state == "funded":
                self._settle(row["id"], "succeeded", None)
            elif state == "closed":
                self._settle(row["id"], "failed", "channel_closed")
        return call.body.model_dump()

    def _account(self, call: Call[Account]) -> Body:
        self.book.run("INSERT OR REPLACE INTO accounts VALUES (?, ?)", call.body.payee, call.body.state)
        return call.body.model_dump()


def _view(row: Row) -> Body:
    names = ("key", "state", "code", "amount", "currency", "payee", "payment_id", "reference")
    shown = {name: row[name] for name in names if row[name] is not None or name == "code"}
    times = {"settled_at": rfc3339_or_none(row["settled_us"])}
    if row["bounced_us"] is not None:
        times["bounced_at"] = rfc3339(row["bounced_us"])
    return {f"{row['kind']}_id": row["id"]} | shown | times


def _charge_view(row: Row) -> Body:
    names = ("key", "state", "code", "amount", "collected", "currency", "payer", "reference")
    shown = {name: row[name] for name in names}
    return {"charge_id": row["id"]} | shown | {"settled_at": rfc3339_or_none(row["settled_us"])}


def create_app(settings: PartySettings) -> Starlette:
    """The payment provider as an ASGI application on the book that `settings` names."""
    return Psp(settings).app()
