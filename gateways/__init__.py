"""The world outside, over HTTP: ports, and one adapter per provider (wire types, pure mapping, thin client)."""
