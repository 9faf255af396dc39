"""POST /v1/orders: an order with its payments and bound cover, once."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.auth import Identity, allowed
from api.openapi import documented
from api.services import Given
from backhaul.messages import ImportOrder, OrderImported
from backhaul.names import Role
from store.orders import import_order

router = APIRouter(tags=["orders"])


@router.post(
    "/v1/orders",
    status_code=201,
    summary="Import an order",
    **documented(
        (Role.SERVICE,),
        "order_conflict", "currency_mismatch", "unknown_book", "store_busy",
        also={200: {"model": OrderImported, "description": "the same order was there already"}},
    ),
)  # fmt: skip
async def post_order(
    order: ImportOrder,
    given: Given,
    response: Response,
    caller: Annotated[Identity, Depends(allowed(Role.SERVICE))],
) -> OrderImported:
    """Keep an order and post J01 to J03, once however often it is sent. Later imports update the profiles."""
    caller.may_act_for(order.merchant.merchant_id)
    imported = await given.store.run(lambda session: import_order(session, order, given.book_of_version, given.now()))
    if not imported.created:
        response.status_code = 200
    return imported
