"""The settlement cycle: one cut for all merchants, a child for each. Domain 6, netting; architecture 5."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError

from activities.contract import (
    Cut,
    CycleOutcome,
    CycleRequest,
    EarnPremiums,
    OpenCut,
    PageMerchants,
    Patience,
    SettlementRequest,
)
from activities.declarations import EFFECT_TIMEOUT, PROVIDER, earn_premiums, open_cut, page_merchants
from backhaul.ids import settlement_id
from backhaul.names import LEFT_ALONE, WorkflowType
from workflows import details
from workflows.desk import Desk, reject


class CycleDesk(Desk):
    """A cycle shows only trouble."""

    def stage_name(self) -> str:
        return "settlement_cycle"

    def describe(self) -> str:
        return details.headline(self)


@workflow.defn(name=WorkflowType.SETTLEMENT_CYCLE.value, failure_exception_types=[ValidationError])
class SettlementCycle:
    """One cycle: store one cut, page through the merchants, then earn the premiums of covers that ended.

    A child that parks is left alone: it keeps its legs in its batch, goes on by itself, and holds up neither the
    other merchants nor the next cycle."""

    @workflow.init
    def __init__(self, request: CycleRequest | None = None) -> None:
        if not isinstance(request, CycleRequest | None):
            reject("invalid_input", "the start needs a CycleRequest")
        self.desk, self.request = CycleDesk(), request or CycleRequest()
        self._settled: set[str] = set()
        self._alone: set[str] = set()

    @workflow.run
    async def run(self, request: CycleRequest | None = None) -> CycleOutcome:
        """Children settle; the next page continues as new with the same cut."""
        request = self.request
        name = request.cut or workflow.info().start_time.strftime("%Y%m%dT%H%M%S")
        cut = await self.desk.step(open_cut, OpenCut(cut=name, at=workflow.now()))
        page = await self.desk.step(page_merchants, PageMerchants(cut=cut.cut, after=request.after, limit=request.page))
        await asyncio.gather(*(self._start(merchant, cut) for merchant in page.merchants))
        looking = timedelta(seconds=cut.patience.delays_s[0])
        await self._wait(page.merchants, longest(cut.patience) if page.next is None else looking)
        left = request.left + len(set(page.merchants) - self._settled)
        settled = request.settled + len(page.merchants)
        if page.next is not None:
            rest = {"cut": cut.cut, "after": page.next, "settled": settled, "left": left}
            workflow.continue_as_new(request.model_copy(update=rest))
        return CycleOutcome(cut=cut.cut, merchants=settled, left=left, earned=await self._earn(cut.cut))

    async def _start(self, merchant_id: str, cut: Cut) -> None:
        """A child that runs already, or has run, is a success: its batches are formed once."""
        try:
            child = await workflow.start_child_workflow(
                WorkflowType.SETTLEMENT.value,
                SettlementRequest(merchant_id=merchant_id, cut=cut.cut, patience=cut.patience, park_s=cut.park_s),
                id=settlement_id(merchant_id, cut.cut),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                static_summary=f"Settle {merchant_id} at {cut.cut}",
            )
        except WorkflowAlreadyStartedError:
            self._settled.add(merchant_id)
            return
        self.desk.spawn(self._ended(merchant_id, child))

    async def _ended(self, merchant_id: str, child: workflow.ChildWorkflowHandle[object, object]) -> None:
        try:
            await child
        except FailureError:
            self._alone.add(merchant_id)  # terminated, or failed at its start: people see it in the UI
        else:
            self._settled.add(merchant_id)

    async def _wait(self, merchants: tuple[str, ...], at_most: timedelta) -> None:
        """Until every child has ended or is left alone. A payout that is being looked up does not keep the next page
        waiting for longer than its first look."""
        try:
            await workflow.wait_condition(
                lambda: all(one in self._settled or one in self._alone for one in merchants),
                timeout=at_most,
                timeout_summary="payouts that are being looked up",
            )
        except TimeoutError:
            workflow.logger.info("settlements left to themselves", extra={"merchants": len(merchants)})

    async def _earn(self, cut: str) -> int:
        """J04, page after page."""
        count = 0
        while True:
            page = await self.desk.step(earn_premiums, EarnPremiums(cut=cut))
            count += page.covers
            if not page.more:
                return count

    @workflow.signal(name=LEFT_ALONE, description="A settlement is parked: the cycle goes on without it.")
    def left_alone(self, merchant_id: str) -> None:
        self._alone.add(merchant_id)


def longest(patience: Patience) -> timedelta:
    """When a payout has ended or parked at the latest: all attempts, each as long as it may take, and their waits."""
    attempts, delays = PROVIDER.maximum_attempts, patience.delays_s
    waits = [delays[min(n, len(delays) - 1)] for n in range(attempts - 1)]
    return EFFECT_TIMEOUT * attempts + timedelta(seconds=sum(waits))
