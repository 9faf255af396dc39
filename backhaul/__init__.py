"""Backhaul: returns, carried from request to settled money. The contract, the domain, and the client."""

__version__ = "0.1.0"
