"""The payment provider: captured payments, refunds and payouts, and the statement of what really moved."""

from sandbox.common.settings import PartySettings
from sandbox.psp.app import create_app

__all__ = ["PartySettings", "create_app"]
