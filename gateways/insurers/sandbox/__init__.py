"""The sandbox's insurer API: wire types, pure mapping, thin client."""
