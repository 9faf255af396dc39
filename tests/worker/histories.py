"""What must not be readable in a history, and how to look for it."""

from __future__ import annotations

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHandle


async def raw_events(handle: WorkflowHandle[object, object]) -> list[Message]:
    """The history as the server has it."""
    return list((await handle.fetch_history()).events)


def payloads_of(message: Message) -> list[Payload]:
    """Every payload of an event, except those of search attributes: they are open by design."""
    found: list[Payload] = []
    for field, value in message.ListFields():
        if field.name == "search_attributes" or field.message_type is None:
            continue
        values = list(value.values()) if hasattr(value, "values") else value if hasattr(value, "append") else [value]
        for each in values:
            if isinstance(each, Payload):
                found.append(each)
            elif isinstance(each, Message):
                found += payloads_of(each)
    return found
