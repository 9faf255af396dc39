"""The sandbox's three parties over real HTTP."""
