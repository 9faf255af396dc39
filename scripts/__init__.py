"""What `make` and the checks need; no part of the product."""
