"""The caller's side: connect to Temporal, open returns, send updates, ask what is known. Needs the extra `client`."""

from __future__ import annotations

from backhaul.client.connection import connect
from backhaul.client.failures import ReturnClosed
from backhaul.client.returns import Backhaul, request_hash

__all__ = ["Backhaul", "ReturnClosed", "connect", "request_hash"]
