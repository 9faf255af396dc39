"""The outside world, for the demo and the tests; shares no code with the product."""
