"""The sandbox's inbox of notices: wire types, pure mapping, thin client."""
