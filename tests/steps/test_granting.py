"""Money without goods coming back, to the fen, on both databases: J82 of an offer, J23 of the money alone."""

from __future__ import annotations

from activities.contract import Granted, GrantRefund
from backhaul.facts import RemedyKind
from backhaul.ledger import CaseRef
from backhaul.messages import ImportOrder
from tests.steps.support import AT, World, a_line, a_request, an_order, refused, yuan


def offering(order: ImportOrder) -> ImportOrder:
    return order.model_copy(update={"merchant": order.merchant.model_copy(update={"offers": True})})


async def grant(world: World, case: CaseRef, what: str, amount: str = "0.00") -> Granted:
    argument = GrantRefund(case=case, what=what, amount=yuan(amount), at=AT)
    return await world.run(world.steps.grant_refund, argument)


async def test_an_accepted_offer_over_two_payments(world: World) -> None:
    await world.order(offering(an_order(payments=("10.00", "1190.00"))))
    judged = await world.judge()
    assert judged.offer == yuan("16.80")  # (12.00 + 2.00) x 1.2
    granted = await grant(world, judged.case, "offer", "16.80")
    assert await grant(world, judged.case, "offer", "16.80") == granted
    assert [(part.payment_key, part.amount) for part in granted.refunds] == [
        ("m1:r1:offer.o1-p1:1", yuan("10.00")),
        ("m1:r1:offer.o1-p2:1", yuan("6.80")),
    ]
    await world.refund(judged.case, granted.refunds)
    await world.end(judged.case, "retained")
    assert await world.templates() == ["J82", "J21", "J21"]
    books = await world.balances()
    assert (books["P2010"], books["P4000"]) == (0, -6_000 + 84)  # 5 % of the sale, less 5 % of 16.80
    later = await world.judge(a_request("r2"))
    assert (later.outcome, later.refundable) == ("authorized", yuan("1183.20"))


async def test_the_money_alone_keeps_its_units(world: World) -> None:
    await world.order(an_order(a_line(quantity=3, paid="100.00")).model_copy(update={"signed_at": None}))
    request = a_request(lines={"l1": 1}).model_copy(update={"remedy": RemedyKind.REFUND_ONLY})
    judged = await world.judge(request)
    assert (judged.outcome, judged.refundable) == ("authorized", yuan("33.33"))
    granted = await grant(world, judged.case, "refund_only")
    assert [(part.payment_key, part.amount) for part in granted.refunds] == [("m1:r1:refund.o1-p1:1", yuan("33.33"))]
    await world.refund(judged.case, granted.refunds)
    await world.end(judged.case)
    assert await world.templates() == ["J23", "J21"]
    too_many = a_request("r2", lines={"l1": 3}).model_copy(update={"remedy": RemedyKind.REFUND_ONLY})
    assert (await world.judge(too_many)).reasons == ("quantity_over_ordered",)
    rest = a_request("r3", lines={"l1": 2}).model_copy(update={"remedy": RemedyKind.REFUND_ONLY})
    assert (await world.judge(rest)).refundable == yuan("66.67")


async def test_what_cannot_be_opened_again(world: World) -> None:
    await world.order(an_order(a_line(quantity=2)))
    await world.order(an_order(order_id="o2"))
    first = await world.judge(a_request(lines={"l1": 1}))
    again = a_request("r2", lines={"l1": 1}).model_copy(update={"reopens": "r1"})
    assert await refused(world.judge(again)) == "reopen_not_expired"
    await world.end(first.case, "expired")
    for changed, code in (
        ({"reopens": "r9"}, "reopen_unknown"),
        ({"order_id": "o2"}, "reopen_mismatch"),
        ({"lines": a_request(lines={"l1": 2}).lines}, "reopen_mismatch"),
    ):
        assert await refused(world.judge(again.model_copy(update=changed))) == code
    chain = "r1"
    for n in range(2, 7):
        opened = await world.judge(a_request(f"r{n}", lines={"l1": 1}).model_copy(update={"reopens": chain}))
        assert opened.outcome == "authorized"
        await world.end(opened.case, "expired")
        chain = f"r{n}"
    assert await refused(world.judge(again.model_copy(update={"rma_id": "r7", "reopens": chain}))) == "reopen_limit"
    assert await refused(world.judge(again.model_copy(update={"rma_id": "r8"}))) == "reopen_not_expired"
