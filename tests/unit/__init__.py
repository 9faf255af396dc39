"""Tests of pure code and of the project itself."""
