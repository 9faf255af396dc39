"""Thousands of whole returns in virtual time: our own workflows, steps, store and adapters, without sockets."""
