"""The API: over a real database and a real Temporal server."""
