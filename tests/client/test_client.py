"""What a caller may rely on: typed answers, and coded errors for everything that goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from backhaul.client import Backhaul, ReturnClosed, connect, request_hash
from backhaul.client.connection import connect_config
from backhaul.errors import Refusal, Transient, Unknown
from backhaul.facts import Reason
from backhaul.ids import return_id
from backhaul.messages import CloseCase, Decline, OpenReturn, RetryStep, ReturnLine, Withdraw
from backhaul.names import Update, WorkflowType
from tests.client.cases import KNOWN, StandIn


def a_return(rma_id: str = "", *, order_id: str = "O-1", merchant_id: str = "M-client") -> OpenReturn:
    return OpenReturn(
        merchant_id=merchant_id,
        rma_id=rma_id or f"R-{uuid.uuid4()}",
        order_id=order_id,
        reason=Reason.NO_REASON,
        lines=(ReturnLine(line_id="L-1", quantity=1),),
        address_ref="adr-1",
    )


@pytest.fixture(scope="module")
async def backhaul(dev_server: WorkflowEnvironment) -> AsyncIterator[Backhaul]:
    queue = f"client-{uuid.uuid4()}"
    async with Worker(
        dev_server.client, task_queue=queue, workflows=[StandIn], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        yield Backhaul(dev_server.client, queue=queue, patience=timedelta(seconds=60))


async def test_opening_twice_is_one_case(backhaul: Backhaul) -> None:
    request = a_return()
    first = await backhaul.open(request)
    assert await backhaul.open(request) == first
    assert first.workflow_id == f"return:M-client:{request.rma_id}"
    described = await backhaul.client.get_workflow_handle(first.workflow_id).describe()
    assert await described.static_summary() == f"Return `{request.rma_id}` of order `O-1`"


async def test_another_body_is_a_conflict(backhaul: Backhaul) -> None:
    request = a_return()
    await backhaul.open(request)
    with pytest.raises(Refusal) as caught:
        await backhaul.open(request.model_copy(update={"reason": Reason.QUALITY}))
    assert (caught.value.code, caught.value.field) == ("return_conflict", "rma_id")


async def test_a_failed_start_does_not_poison_its_id(backhaul: Backhaul) -> None:
    """The same body works once its order is known."""
    request = a_return(order_id=f"O-unknown-{uuid.uuid4()}")
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            await backhaul.open(request)
        assert (caught.value.code, caught.value.field) == ("order_unknown", "order_id")
        await _closed(backhaul, request)
    KNOWN.add(request.order_id)
    assert (await backhaul.open(request)).outcome == "authorized"


async def _closed(backhaul: Backhaul, request: OpenReturn) -> None:
    handle = backhaul.client.get_workflow_handle(f"return:{request.merchant_id}:{request.rma_id}")
    with contextlib.suppress(WorkflowFailureError):
        await handle.result()


async def test_a_closed_case_says_how_it_ended(backhaul: Backhaul) -> None:
    request = a_return()
    await backhaul.open(request)
    ack = await backhaul.report(request.merchant_id, request.rma_id, Update.CLOSE_CASE, CloseCase(reason="test"))
    assert ack.stage == "closed"
    await _closed(backhaul, request)
    for attempt in (
        backhaul.open(request),
        backhaul.open(request.model_copy(update={"reason": Reason.QUALITY})),
        backhaul.report(request.merchant_id, request.rma_id, "withdraw", Withdraw()),
    ):
        with pytest.raises(ReturnClosed) as caught:
            await attempt
        assert caught.value.code == "return_closed"
        assert caught.value.outcome is not None
        assert caught.value.outcome.outcome == "refunded"
    assert (await backhaul.status(request.merchant_id, request.rma_id)).stage == "authorizing"


async def test_a_terminated_case_is_closed_without_an_outcome(backhaul: Backhaul) -> None:
    request = a_return()
    await backhaul.open(request)
    await backhaul.client.get_workflow_handle(f"return:M-client:{request.rma_id}").terminate()
    with pytest.raises(ReturnClosed) as caught:
        await backhaul.report(request.merchant_id, request.rma_id, "withdraw", Withdraw())
    assert caught.value.outcome is None


async def test_a_case_that_never_was(backhaul: Backhaul) -> None:
    with pytest.raises(Refusal, match="no such thing") as caught:
        await backhaul.report("M-client", "R-never", Update.WITHDRAW, Withdraw())
    assert caught.value.code == "not_found"
    with pytest.raises(Refusal) as caught:
        await backhaul.status("M-client", "R-never")
    assert caught.value.code == "not_found"
    with pytest.raises(Refusal) as caught:
        await backhaul.explain("M-client", "R never")
    assert caught.value.code == "invalid_id"


async def test_refusals_keep_their_code_and_kind(backhaul: Backhaul) -> None:
    request = a_return()
    await backhaul.open(request)
    case = (request.merchant_id, request.rma_id)
    with pytest.raises(Refusal) as caught:
        await backhaul.report(*case, Update.WITHDRAW, Withdraw(reason="picked up"))
    assert (caught.value.code, caught.value.message) == ("already_picked_up", "text of already_picked_up")
    with pytest.raises(Refusal) as caught:
        await backhaul.report(*case, Update.DECLINE, Decline(reason="statutory_return"))
    assert caught.value.code == "statutory_return"
    with pytest.raises(Transient) as transient:
        await backhaul.report(*case, Update.RETRY_STEP, RetryStep())
    assert transient.value.code == "store_busy"
    with pytest.raises(Refusal) as caught:  # a code of a newer worker
        await backhaul.report(*case, Update.DECLINE, Decline(reason="code_of_tomorrow"))
    assert caught.value.code == "provider_rejected"
    assert "code_of_tomorrow" in caught.value.message


async def test_a_bug_is_no_refusal(backhaul: Backhaul) -> None:
    request = a_return()
    await backhaul.open(request)
    with pytest.raises(WorkflowUpdateFailedError):
        await backhaul.report(request.merchant_id, request.rma_id, Update.WITHDRAW, Withdraw(reason="bug"))


async def test_the_wrong_body_never_leaves(backhaul: Backhaul) -> None:
    with pytest.raises(Refusal) as caught:
        await backhaul.report("M-client", "R-1", Update.WITHDRAW, RetryStep())
    assert caught.value.code == "invalid_input"
    for name in ("first_decision", "no_such"):
        with pytest.raises(Refusal) as caught:
            await backhaul.report("M-client", "R-1", name, Withdraw())
        assert caught.value.code == "unknown_update"


async def test_no_answer_is_unknown(backhaul: Backhaul) -> None:
    request = a_return()
    await backhaul.open(request)
    hasty = Backhaul(backhaul.client, patience=timedelta(seconds=0.5))
    with pytest.raises(Unknown) as caught:
        await hasty.report(request.merchant_id, request.rma_id, Update.WITHDRAW, Withdraw(reason="hang"), "u-1")
    assert caught.value.code == "no_answer"


async def test_no_worker_is_unknown_to_a_start_and_transient_to_a_question(backhaul: Backhaul) -> None:
    """Nobody polls this queue: nothing hangs."""
    queue = f"nobody-{uuid.uuid4()}"
    lonely = Backhaul(backhaul.client, queue=queue, patience=timedelta(seconds=1))
    request = a_return()
    with pytest.raises(Unknown):
        await lonely.open(request)
    await backhaul.client.start_workflow(
        WorkflowType.RETURN_CASE.value, id=return_id(request.merchant_id, "R-alone"), task_queue=queue
    )
    with pytest.raises(Transient):
        await lonely.status(request.merchant_id, "R-alone")


async def test_being_cancelled_is_not_a_failure(backhaul: Backhaul) -> None:
    request = a_return()
    await backhaul.open(request)
    task = asyncio.create_task(
        backhaul.report(request.merchant_id, request.rma_id, Update.WITHDRAW, Withdraw(reason="hang"))
    )
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_update_id_is_answered_once(backhaul: Backhaul) -> None:
    request = a_return()
    await backhaul.open(request)
    case = (request.merchant_id, request.rma_id)
    first = await backhaul.report(*case, Update.WITHDRAW, Withdraw(), "event-1")
    assert await backhaul.report(*case, Update.WITHDRAW, Withdraw(reason="hang"), "event-1") == first


async def test_an_unreachable_server_is_transient() -> None:
    with pytest.raises(Transient) as caught:
        await connect(target_host="127.0.0.1:1")
    assert caught.value.code == "unavailable"


async def test_explain_is_typed(backhaul: Backhaul) -> None:
    request = a_return()
    await backhaul.open(request)
    assert (await backhaul.explain(request.merchant_id, request.rma_id)).decisions == ()


async def test_connect_takes_overrides(dev_server: WorkflowEnvironment) -> None:
    client = await connect(target_host=dev_server.client.service_client.config.target_host)
    assert isinstance(client, Client)
    assert client.namespace == "default"


def test_the_environment_is_the_standard_one() -> None:
    config = connect_config(environment={"TEMPORAL_ADDRESS": "temporal.example:7233", "TEMPORAL_NAMESPACE": "returns"})
    assert (config["target_host"], config["namespace"]) == ("temporal.example:7233", "returns")
    blank = connect_config(environment={"TEMPORAL_ADDRESS": "", "TEMPORAL_NAMESPACE": ""})
    assert (blank["target_host"], blank["namespace"]) == ("localhost:7233", "default")


def test_the_hash_is_the_body() -> None:
    request = a_return("R-1")
    assert request_hash(request) == request_hash(OpenReturn.model_validate_json(request.model_dump_json()))
    assert request_hash(request) != request_hash(request.model_copy(update={"zone": "remote"}))
