"""The straight paths: lightning, refund on receipt, who bears the freight, shared pickups, self-shipping."""

from __future__ import annotations

from sandbox.samples.build import Json, act, closed, confirm, line, moves, order, returned, row, withdraws


def rows() -> list[Json]:
    """All rows of this module."""
    return [
        *_lightning(),
        *_ordinary(),
        *_freight(),
        *_together(),
        *_one_leaves(),
        *_self_ship(),
        *_partial(),
    ]


def _simple(
    name: str,
    path: str,
    merchant: str,
    *lines: Json,
    tier: int,
    refunded: int,
    reason: str = "dont_like",
    cover: str = "RFI RDV",
    limit: int = 500_000,
    payments: tuple[int, ...] = (),
    rfi_sum: int = 2500,
    freight: int | None = None,
    psp: list[Json] | None = None,
) -> Json:
    """One case: picked up clean, delivered, confirmed."""
    made = order(name, merchant, *lines, tier=tier, cover=cover, limit=limit, payments=payments, rfi_sum=rfi_sum)
    expect = closed(refunded=refunded) | ({} if freight is None else {"freight": freight})
    return row(name, path, made, opened=returned(name, made, reason=reason), expect=expect, actors=[confirm()], psp=psp)


def _lightning() -> list[Json]:
    path = "lightning"
    third = [line(f"third-{n}", 3333, grams=300) for n in (1, 2, 3)]
    mixed = order(
        "mixed-basket",
        "paper-moon",
        line("atlas", 12_800, grams=1800),
        line("pens", 4500, quantity=3, grams=80),
        line("lamp", 25_990, grams=900),
        tier=4,
    )
    return [
        _simple("runners", path, "quick-shoes", line("runner", 29_900), tier=2, refunded=29_900, freight=1200),
        _simple("phone-at-the-limit", path, "pearl-phones", line("phone", 300_000), tier=3, refunded=300_000),
        _simple("parka", path, "north-coats", line("parka", 89_900, grams=1400), tier=5, refunded=89_900, freight=1400),
        _simple("three-thirds", path, "paper-moon", *third, tier=2, refunded=9999),
        _simple(
            "two-payments",
            path,
            "quick-shoes",
            line("boots", 45_001),
            tier=3,
            refunded=45_001,
            payments=(30_000, 15_001),
        ),
        # Two of the three lines, two of the three pens: 128.00 + 30.00.
        row(
            "mixed-basket",
            path,
            mixed,
            opened=returned("mixed-basket", mixed, ("atlas", 1), ("pens", 2)),
            expect=closed(refunded=15_800),
            actors=[confirm()],
        ),
        # 18 kg: 12.00 + 17 x 2.00 = 46.00, inside the cover for bulky goods.
        _simple(
            "oak-chair",
            path,
            "oak-and-home",
            line("chair", 64_000, grams=18_000),
            tier=3,
            refunded=64_000,
            rfi_sum=500_000,
            freight=4600,
        ),
    ]


def _ordinary() -> list[Json]:
    pending = [{"match": ":{rma}:refund", "state": "pending", "then": "succeeded", "after_ms": 1200}]
    return [
        _simple("sandals", "ordinary_low_tier", "quick-shoes", line("sandal", 15_950), tier=1, refunded=15_950),
        _simple("novel", "ordinary_low_tier", "paper-moon", line("novel", 3200), tier=0, refunded=3200),
        _simple("scarf", "ordinary_low_tier", "north-coats", line("scarf", 1), tier=1, refunded=1),
        _simple(
            "pending-at-psp",
            "ordinary_low_tier",
            "quick-shoes",
            line("clogs", 8800),
            tier=1,
            refunded=8800,
            psp=pending,
        ),
        _simple(
            "phone-too-dear",
            "ordinary_high_amount",
            "pearl-phones",
            line("phone", 549_900),
            tier=5,
            refunded=549_900,
            cover="RFI",
            limit=900_000,
        ),
        _simple(
            "two-coats",
            "ordinary_high_amount",
            "north-coats",
            line("long", 190_000),
            line("short", 120_000),
            tier=4,
            refunded=310_000,
        ),
        _simple(
            "small-line", "ordinary_credit", "quick-shoes", line("boot", 80_000), tier=3, refunded=80_000, limit=50_000
        ),
        _simple(
            "no-line-at-all", "ordinary_credit", "paper-moon", line("globe", 12_000), tier=2, refunded=12_000, limit=0
        ),
    ]


def _freight() -> list[Json]:
    """The reason decides who bears what the cover does not."""
    path = "freight_above_cover"
    return [
        # 10 kg: 12.00 + 9 x 2.00 = 30.00, 25.00 of it covered; the consumer bears 5.00.
        _simple(
            "heavy-rug", path, "oak-and-home", line("rug", 40_000, grams=10_000), tier=1, refunded=39_500, freight=3000
        ),
        # 0.5 kg but 60000 cm3, which count as 10 kg.
        _simple(
            "light-box",
            path,
            "oak-and-home",
            line("box", 20_000, grams=500, cm3=60_000),
            tier=1,
            refunded=19_500,
            freight=3000,
        ),
        # No cover: the consumer bears 12.00; for a quality reason the merchant does.
        _simple("bare-mug", path, "oak-and-home", line("mug", 5000), tier=1, refunded=3800, cover="", freight=1200),
        _simple(
            "bare-bad-mug",
            path,
            "oak-and-home",
            line("mug", 5000),
            tier=1,
            refunded=5000,
            cover="",
            reason="quality",
            freight=1200,
        ),
    ]


_SLOT = {"start": "now+1s", "end": "now+16s"}


def _together() -> list[Json]:
    """Three cases of one order, one pickup: 3 kg cost 16.00, split 5.34, 5.33, 5.33 (ties by rma_id)."""
    made = order(
        "trio",
        "oak-and-home",
        line("cup", 5000, grams=1000),
        line("plate", 7000, grams=1000),
        line("bowl", 9000, grams=1000),
        tier=3,
    )
    wanted = (("trio-a", "cup", 5000, 534), ("trio-b", "plate", 7000, 533), ("trio-c", "bowl", 9000, 533))
    names = [name for name, *_ in wanted]
    release = act("courier", "release", {"all": names, "aboard": names}, after="booked")
    return [
        row(
            name,
            "combined_pickup",
            made,
            opened=returned(name, made, (line_id, 1), address="addr-trio", slot=_SLOT),
            expect=closed(refunded=amount, freight=share),
            actors=[confirm(), *([release] if name == "trio-a" else [])],
            courier={"hold": True, "visits": [{"after_ms": 200, "outcome": "picked_up"}]},
        )
        for name, line_id, amount, share in wanted
    ]


def _one_leaves() -> list[Json]:
    """Three cases in one pickup, one taken back before the scan: 700 g and 1400 g cost 16.00, split 5.33 and 10.67."""
    made = order(
        "leaver",
        "north-coats",
        line("hat", 6000, grams=700),
        line("glove", 4000, grams=400),
        line("vest", 30_000, grams=1400),
        tier=1,
    )
    wanted = (("leaver-a", "hat", 6000, 533), ("leaver-b", "glove", 0, 0), ("leaver-c", "vest", 30_000, 1067))
    names = [name for name, *_ in wanted]
    release = act("courier", "release", {"all": names, "aboard": ["leaver-a", "leaver-c"]}, after="booked")
    rows = []
    for name, line_id, amount, share in wanted:
        leaves = name == "leaver-b"
        rows.append(
            row(
                name,
                "combined_pickup_one_leaves",
                made,
                opened=returned(name, made, (line_id, 1), address="addr-leaver", slot=_SLOT),
                expect=closed("withdrawn") if leaves else closed(refunded=amount, freight=share),
                actors=[withdraws("booked")] if leaves else [confirm(), *([release] if name == "leaver-a" else [])],
                courier={"hold": True, "visits": [{"after_ms": 200, "outcome": "picked_up"}]},
            )
        )
    return rows


def _self_ship() -> list[Json]:
    """The insurer pays the consumer the proven freight, 10.00 at most. A trace opens the lightning gate."""
    rows = []
    for name, tier, paid, proven, freight in (("posted-quickly", 3, 18_800, 900, 900), ("posted", 1, 7600, 1500, 1000)):
        made = order(name, "quick-shoes", line("shoe", paid), tier=tier)
        gives = act(
            "consumer",
            "provide_waybill",
            {"waybill": f"POST{name}", "courier": "sandbox", "proven_freight": {"minor": proven, "currency": "CNY"}},
            after="open",
            delay_ms=300,
        )
        rows.append(
            row(
                name,
                "self_ship",
                made,
                opened=returned(name, made, method="self_ship"),
                expect=closed(refunded=paid) | {"paid_to_consumer": freight},
                actors=[gives, confirm()],
                self_ship={
                    "waybill": f"POST{name}",
                    "proven_freight": {"amount": proven, "currency": "CNY"},
                    **moves("in_transit", "delivered"),
                },
            )
        )
    for name in ("never-posted", "forgotten"):
        made = order(name, "paper-moon", line("kite", 9900), tier=2)
        rows.append(
            row(
                name,
                "self_ship_expired",
                made,
                opened=returned(name, made, method="self_ship"),
                expect=closed("expired"),
            )
        )
    return rows


def _partial() -> list[Json]:
    """One line of three units at 100.00: 33.33 for the first, 66.67 for the other two."""
    made = order("three-for-100", "paper-moon", line("puzzle", 10_000, quantity=3, grams=400), tier=2)
    return [
        row(
            name,
            "partial_quantities",
            made,
            opened=returned(name, made, ("puzzle", units)),
            expect=closed(refunded=amount),
            actors=[confirm()],
        )
        for name, units, amount in (("one-of-three", 1, 3333), ("rest-of-three", 2, 6667))
    ]
