"""The inbox: where the parties are told things, and what they have been told."""

from sandbox.common.settings import PartySettings
from sandbox.notices.app import create_app

__all__ = ["PartySettings", "create_app"]
