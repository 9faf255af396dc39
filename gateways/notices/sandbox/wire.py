"""The JSON of the sandbox's inbox. Unknown fields are ignored."""

from __future__ import annotations

from gateways.http import WireModel


class NoticeRequestWire(WireModel):
    """POST /v1/notices."""

    recipient: str
    subject: str
    about: str
    en: str
    zh: str
    due: str | None = None
    amount: int | None = None
    currency: str | None = None


class NoticeWire(WireModel):
    """A notice as the inbox answers it."""

    notice_id: str
    state: str
    code: str | None = None
