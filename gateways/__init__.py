"""HTTP adapters to couriers, payment providers and insurers."""
