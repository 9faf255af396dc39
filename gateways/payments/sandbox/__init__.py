"""The sandbox's payment API: wire types, pure mapping, thin client."""
