"""The one exception a party's code raises on purpose."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """A "no" with a status, a code that does not change, and a message for people.

    `extra` joins the body of the answer (`collected_at` of a refused cancel, for example).
    """

    def __init__(self, status: int, code: str, message: str, *, field: str | None = None, **extra: Any) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.field is not None:
            body["field"] = self.field
        return body | self.extra
