"""One TLS context for every client of the process: making one costs 35 ms, and a sandbox makes many clients."""

from __future__ import annotations

import ssl
from functools import cache


@cache
def tls() -> ssl.SSLContext:
    """The system's trust, for URLs that are https."""
    return ssl.create_default_context()
