"""The insurer: coverages, claims, payments and recoveries."""

from sandbox.common.settings import PartySettings
from sandbox.insurer.app import create_app

__all__ = ["PartySettings", "create_app"]
