"""The inbox: takes notices for recipients that are tokens, delivers each once a key, and shows what was delivered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from starlette.applications import Starlette

from sandbox.common.book import Row
from sandbox.common.clock import now_us, rfc3339_or_none
from sandbox.common.control_plane import add_control_plane, keep_script, script_within
from sandbox.common.due import Work
from sandbox.common.errors import Refusal
from sandbox.common.party import Party
from sandbox.common.settings import PartySettings
from sandbox.common.wire import Amount, Body, Call, Currency, Made, Millis, Nothing, Strict, Text

SCHEMA = """
CREATE TABLE IF NOT EXISTS notices (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, notice_id TEXT NOT NULL UNIQUE, key TEXT NOT NULL UNIQUE,
  recipient TEXT NOT NULL, subject TEXT NOT NULL, about TEXT NOT NULL, en TEXT NOT NULL, zh TEXT NOT NULL, due TEXT,
  amount INTEGER, currency TEXT,
  state TEXT NOT NULL, code TEXT, delivered_us INTEGER);
CREATE INDEX IF NOT EXISTS notices_of ON notices (recipient, seq);
"""

Code = Literal["undeliverable"]


class NewNotice(Strict):
    """A notice: to whom (a token), on which case, about what, in two languages; `due` when silence will act."""

    recipient: Annotated[str, Field(pattern=r"^[a-z]+:[A-Za-z0-9_.-]{1,100}$")]
    subject: Text
    about: Text
    en: Annotated[str, Field(min_length=1, max_length=2000)]
    zh: Annotated[str, Field(min_length=1, max_length=2000)]
    due: Text | None = None
    amount: Amount | None = None
    currency: Currency | None = None


class Script(Strict):
    """What becomes of notices whose key contains `match`.

    `refuse` is a 422 `recipient_unknown`. `pending` turns to `then` after `after_ms`; without `then` it stays pending.
    `failed` is `undeliverable` for good.
    """

    match: Text
    state: Literal["delivered", "pending", "failed", "refuse"] = "delivered"
    then: Literal["delivered", "failed"] | None = None
    after_ms: Millis = 300

    @model_validator(mode="after")
    def _only_pending_turns(self) -> Script:
        if self.then is not None and self.state != "pending":
            raise ValueError("only a pending notice turns to something")
        return self


class Inbox(Party):
    """The inbox. No money moves here: its statement stays empty."""

    def __init__(self, settings: PartySettings) -> None:
        super().__init__("notices", settings, SCHEMA)
        self.operation("/v1/notices", "notice", NewNotice, self._take)
        self.read("/v1/notices", self._read)
        add_control_plane(self)
        self.control("/scripts", Script, self._script)

    def work(self) -> dict[str, Work]:
        """Some notices arrive later."""
        return {"arrive": self._arrive}

    def live(self, kind: str, ref: str, body: Body) -> Body:
        """A notice as it is now."""
        row = self.book.one("SELECT * FROM notices WHERE notice_id = ?", ref)
        return {} if row is None else _view(row)

    def _take(self, call: Call[NewNotice]) -> Made:
        wanted = call.body
        script = script_within(self.book, call.key, Script) or Script(match="*")
        if script.state == "refuse":
            raise Refusal(422, "recipient_unknown", "nobody is known by this token", field="recipient")
        notice_id = self.book.new_id("ntc_", call.key)
        delivered = call.now_us if script.state == "delivered" else None
        what = (wanted.recipient, wanted.subject, wanted.about, wanted.en, wanted.zh, wanted.due)
        money = (wanted.amount, wanted.currency)
        self.book.run(
            """INSERT INTO notices
               (notice_id, key, recipient, subject, about, en, zh, due, amount, currency, state, code, delivered_us)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            notice_id, call.key, *what, *money, script.state, _code(script.state), delivered,
        )  # fmt: skip
        if script.then is not None:
            self.book.plan("arrive", notice_id, {"state": script.then}, at_us=call.now_us + script.after_ms * 1000)
        row = self.book.one("SELECT * FROM notices WHERE notice_id = ?", notice_id)
        assert row is not None
        return Made(_view(row), notice_id, 201, payee=wanted.recipient)

    def _read(self, call: Call[Nothing]) -> Body:
        """What was delivered, oldest first: to one recipient, or on one case."""
        recipient, subject = call.query.get("recipient"), call.query.get("subject")
        if not recipient and not subject:
            raise Refusal(422, "invalid_request", "say whose, or about which case", field="recipient")
        rows = self.book.all(
            """SELECT * FROM notices WHERE state = 'delivered' AND (? IS NULL OR recipient = ?)
               AND (? IS NULL OR subject = ?) ORDER BY delivered_us, seq""",
            recipient, recipient, subject, subject,
        )  # fmt: skip
        return {"notices": [_view(row) for row in rows]}

    def _script(self, call: Call[Script]) -> Body:
        keep_script(self.book, call.body.match, call.body)
        return {"match": call.body.match}

    def _arrive(self, notice_id: str, payload: dict[str, Any]) -> None:
        state = payload["state"]
        self.book.run(
            "UPDATE notices SET state = ?, code = ?, delivered_us = ? WHERE notice_id = ? AND state = 'pending'",
            state, _code(state), now_us() if state == "delivered" else None, notice_id,
        )  # fmt: skip


def _code(state: str) -> Code | None:
    return "undeliverable" if state == "failed" else None


def _view(row: Row) -> Body:
    names = (
        "notice_id", "key", "recipient", "subject", "about", "en", "zh", "due", "amount", "currency", "state", "code",
    )  # fmt: skip
    return {name: row[name] for name in names} | {"delivered_at": rfc3339_or_none(row["delivered_us"])}


def create_app(settings: PartySettings) -> Starlette:
    """The inbox as an ASGI application on the book that `settings` names."""
    return Inbox(settings).app()
