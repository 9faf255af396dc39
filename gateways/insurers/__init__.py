"""Adapters of insurers, one package each."""
