"""Webhooks: signature on the raw bytes, then the event in our words; a courier's then as one report per case."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from backhaul.errors import Refusal
from backhaul.ids import CaseId, parse_item_ref
from backhaul.messages import DoorstepFinding, PickupOutcome, PickupReport, TrackingReport
from gateways.couriers.sandbox import mapping as sandbox
from gateways.couriers.sandbox.wire import EventWire
from gateways.payments.sandbox import mapping as sandbox_psp
from gateways.payments.sandbox.wire import PaymentEventWire
from gateways.ports import CourierEvent, PaymentEvent, Visit

Report = PickupReport | TrackingReport
E = TypeVar("E")


def _sandbox_event(body: Any) -> CourierEvent:
    return sandbox.event(EventWire.model_validate(body))


def _sandbox_payment(body: Any) -> PaymentEvent:
    return sandbox_psp.event(PaymentEventWire.model_validate(body))


READERS: Mapping[str, Callable[[Any], CourierEvent]] = {"sandbox": _sandbox_event}
"""How each adapter's courier writes an event, by adapter."""
PAYMENT_READERS: Mapping[str, Callable[[Any], PaymentEvent]] = {"sandbox-psp": _sandbox_payment}
"""How each adapter's payment provider does."""


def verify(secret: str, headers: Mapping[str, str], raw: bytes) -> str:
    """Check a Standard Webhooks signature (at most five minutes old) and return the webhook's id.

    Raises Refusal(`bad_signature`), whatever is wrong with headers or bytes. An unusable secret is our own
    mistake and not the sender's: ValueError."""
    try:
        webhook = Webhook(secret)
    except Exception as exc:
        raise ValueError("the webhook secret is not whsec_ and base64") from exc
    lowered = {name.lower(): value for name, value in headers.items()}
    try:
        webhook.verify(raw, lowered, json_parse=False)
    except (WebhookVerificationError, ValueError) as exc:  # a header that does not parse is a ValueError
        raise Refusal("bad_signature") from exc
    return lowered["webhook-id"]


def read_event(raw: bytes, adapter: str = "sandbox") -> CourierEvent:
    """The event of a courier's webhook. Raises Refusal(`invalid_input`) for anything that does not fit."""
    return _read(raw, READERS[adapter])


def read_any(raw: bytes, adapter: str) -> CourierEvent | PaymentEvent:
    """The event of any sender's webhook. Raises Refusal(`invalid_input`) for anything that does not fit."""
    return _read(raw, PAYMENT_READERS[adapter]) if adapter in PAYMENT_READERS else read_event(raw, adapter)


def _read(raw: bytes, reader: Callable[[Any], E]) -> E:
    try:
        return reader(json.loads(raw))
    except ValidationError as exc:
        field = ".".join(str(piece) for piece in exc.errors(include_input=False, include_url=False)[0]["loc"])
        raise Refusal("invalid_input", "the event does not fit its schema", field=field) from exc
    except (ValueError, RecursionError) as exc:
        raise Refusal("invalid_input", "the event does not fit its schema") from exc


def reports_for(event: CourierEvent, members: Iterable[CaseId]) -> dict[CaseId, Report]:
    """What each case of the waybill is told: everyone of the event, each of its own lines' findings.

    Items of cases that are not members are left out: a courier names goods, and our own books say whose waybill
    it is. Raises Refusal(`invalid_input`) for an event that means nothing."""
    lines = _lines(event)
    try:
        return {case: _report(event, lines.get(case, {})) for case in members}
    except ValidationError as exc:
        error = exc.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(piece) for piece in error["loc"])
        raise Refusal("invalid_input", "the event does not fit a report", field=field) from exc


def _lines(event: CourierEvent) -> dict[CaseId, dict[str, str]]:
    """Line ids by item reference, per case. A reference that does not parse spoils the event."""
    found: dict[CaseId, dict[str, str]] = {}
    if event.visit is not None:
        for ref in (*event.visit.collected, *(finding.ref for finding in event.visit.findings)):
            try:
                case, line = parse_item_ref(ref)
            except Refusal as exc:
                raise Refusal("invalid_input", exc.message, field="ref") from exc
            found.setdefault(case, {})[ref] = line
    return found


def _report(event: CourierEvent, lines: Mapping[str, str]) -> Report:
    if event.visit is not None:
        return _pickup(event, event.visit, lines)
    if event.movement is None:
        raise Refusal("invalid_input", "the event is neither a visit nor a movement", field="type")
    return TrackingReport(
        event_id=event.event_id,
        status=event.movement,
        waybill=event.waybill,
        occurred_at=event.occurred_at,
    )


def _pickup(event: CourierEvent, visit: Visit, lines: Mapping[str, str]) -> PickupReport:
    picked_up = visit.outcome is PickupOutcome.PICKED_UP
    return PickupReport(
        event_id=event.event_id,
        outcome=visit.outcome,
        waybill=event.waybill,
        occurred_at=event.occurred_at,
        reason=visit.reason,
        collected=tuple(dict.fromkeys(lines[ref] for ref in visit.collected if ref in lines)) if picked_up else (),
        taken=tuple(dict.fromkeys(visit.collected)) if picked_up else (),
        refusal=visit.refusal,
        inspected=visit.inspected,
        findings=tuple(
            DoorstepFinding(
                line_id=lines[found.ref],
                finding=found.finding,
                quantity=found.quantity,
                severity=found.severity,
                photos=found.photos,
                consumer=found.consumer,
            )
            for found in visit.findings
            if found.ref in lines
        ),
    )
