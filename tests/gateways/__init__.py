"""Adapters against the sandbox's servers over HTTP, and their mappings against recorded payloads."""
