"""The JSON of the sandbox's inbox to our words and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC

from gateways.notices.sandbox import wire as w
from gateways.ports import NoticeLetter, NoticeState, Standing
from gateways.wire import standing

STATES: Mapping[str, Standing] = {"delivered": Standing.SUCCEEDED, "failed": Standing.FAILED}
"""Whatever else it says, nobody is known to have been told: pending."""
WORDS: Mapping[str, Mapping[str, Standing]] = {"notice": STATES}
UNDELIVERED = "notice_undelivered"
"""Our code for every no: nobody was told, and under this key nobody will be."""
CODES: Mapping[str, str] = {"recipient_unknown": UNDELIVERED}


def notice_request(letter: NoticeLetter) -> w.NoticeRequestWire:
    """A notice to be delivered."""
    return w.NoticeRequestWire(
        recipient=letter.recipient,
        subject=letter.subject,
        about=letter.about,
        en=letter.text.en,
        zh=letter.text.zh,
        due=None if letter.due is None else letter.due.astimezone(UTC).isoformat(),
        amount=None if letter.amount is None else letter.amount.minor,
        currency=None if letter.amount is None else letter.amount.currency,
    )


def notice(key: str, wire: w.NoticeWire) -> NoticeState:
    """What became of it."""
    now = standing(wire.state, STATES)
    return NoticeState(key=key, standing=now, ref=wire.notice_id, code=UNDELIVERED if now is Standing.FAILED else None)
