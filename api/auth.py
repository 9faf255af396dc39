"""Who is asking: static bearer tokens, each with a role, an identity, and often one merchant."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPBearer

from api.settings import TokenEntry
from backhaul.errors import Refusal
from backhaul.facts import Token
from backhaul.names import Role

bearer = HTTPBearer(
    auto_error=False, scheme_name="token", description="A static token; its role decides what it may do."
)


@dataclass(frozen=True)
class Identity:
    """An authenticated caller."""

    role: Role
    name: str
    merchant_id: str | None = None

    def merchant(self, asked: str | None) -> str:
        """The merchant of this request: the token's, or the one asked for. A token sees no other merchant."""
        if self.merchant_id is None:
            if asked is None:
                raise Refusal("invalid_input", "this token is of no merchant: name one", field="merchant_id")
            return asked
        if asked not in {None, self.merchant_id}:
            raise Refusal("not_found")
        return self.merchant_id

    def may_act_for(self, merchant_id: str) -> None:
        """Refuse a body that names another merchant than the token's. Raises Refusal(`forbidden`)."""
        if self.merchant_id not in {None, merchant_id}:
            raise Refusal("forbidden", "this token is of another merchant", field="merchant_id")

    def of_the_platform(self, what: str) -> None:
        """Refuse a token of one merchant what is the whole platform's: `what`. Raises Refusal(`forbidden`)."""
        if self.merchant_id is not None:
            raise Refusal("forbidden", f"{what} of no merchant")


class Tokens:
    """The known tokens. Kept as digests and compared in constant time, all of them each time."""

    def __init__(self, entries: Iterable[TokenEntry]):
        self._known = [
            (_digest(entry.token.get_secret_value()), Identity(entry.role, entry.identity, entry.merchant_id))
            for entry in entries
        ]

    def find(self, authorization: str | None) -> Identity:
        """The caller behind an Authorization header. Raises Refusal(`unauthenticated`)."""
        scheme, _, token = (authorization or "").partition(" ")
        given = _digest(token.strip())
        found: Identity | None = None
        for known, identity in self._known:
            if hmac.compare_digest(known, given):
                found = identity
        if found is None or scheme.lower() != "bearer":
            raise Refusal("unauthenticated")
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


async def identity(request: Request, _header: Annotated[object, Security(bearer)]) -> Identity:
    """The caller, as the guard in front found it (api/guard.py)."""
    found = request.scope.get("backhaul.identity")
    if not isinstance(found, Identity):
        raise Refusal("unauthenticated")
    return found


def allowed(*roles: Role) -> Callable[..., object]:
    """A dependency: the caller, if it has one of these roles. Raises Refusal(`forbidden`)."""

    async def check(caller: Annotated[Identity, Depends(identity)]) -> Identity:
        if caller.role not in roles:
            raise Refusal("forbidden", f"this takes the role {' or '.join(role.value for role in roles)}")
        return caller

    return check


MerchantQuery = Annotated[
    Token | None, Query(description="for tokens of no merchant: whose case it is; other tokens carry their own")
]
