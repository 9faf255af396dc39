"""Deterministic orchestration of returns."""
