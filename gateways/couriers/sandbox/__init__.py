"""The sandbox's courier API: wire types, pure mapping, thin client."""
