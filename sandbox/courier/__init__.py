"""The courier: bookings, visits, doorstep checks, tracking, freight invoices, demands and signed webhooks."""

from sandbox.courier.app import create_app
from sandbox.courier.settings import CourierSettings, Tariff

__all__ = ["CourierSettings", "Tariff", "create_app"]
