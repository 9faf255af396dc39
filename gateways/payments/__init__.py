"""Adapters of payments, one package each."""
