"""What the courier is started with, and its tariff."""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.common.settings import PartySettings


@dataclass(frozen=True)
class Tariff:
    """The courier's own prices in minor units. Chargeable is the greater of actual and volume weight."""

    first_amount: int = 1200
    further_amount: int = 200
    first_g: int = 1000
    step_g: int = 1000
    cm3_per_kg: int = 6000
    currency: str = "CNY"

    def chargeable_g(self, weight_g: int, volume_cm3: int) -> int:
        """Grams charged for a parcel of this weight and volume; a started gram of volume weight counts."""
        return max(weight_g, -(-volume_cm3 * 1000 // self.cm3_per_kg))

    def price(self, chargeable_g: int) -> int:
        """The freight of a parcel: the first weight, and every further started step."""
        steps = max(0, -(-(chargeable_g - self.first_g) // self.step_g))
        return self.first_amount + steps * self.further_amount


@dataclass(frozen=True, kw_only=True)
class CourierSettings(PartySettings):
    """Settings of the courier."""

    tariff: Tariff = field(default_factory=Tariff)
