"""Adapters of couriers, one package each."""
