"""The HTTP side: services, couriers, merchants, operators."""
