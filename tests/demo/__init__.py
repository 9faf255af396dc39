"""Tests of the samples, of the demo's own comparison, and of the demo from end to end."""
