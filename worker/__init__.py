"""The processes that poll for work."""
