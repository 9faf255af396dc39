"""The worker of the bare workflow, as a process of its own, so that its CPU can be measured."""

from __future__ import annotations

import asyncio
import sys

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from benchmarks.bare import QUEUE, BareReturn, bare_effect, bare_step


async def main(address: str) -> None:
    """Poll until killed."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    worker = Worker(client, task_queue=QUEUE, workflows=[BareReturn], activities=[bare_step, bare_effect])
    print("ready", flush=True)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
