"""JSON Schemas of what callers send and get: one committed file a message, next to this module.

`python -m backhaul.schemas --write` writes them; `--check` fails when one is stale, missing or left over.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

from backhaul import messages as m
from backhaul.names import Update
from backhaul.statements import SettledCuts, Statement
from backhaul.treasury import HoldPayouts, Holds, PostTreasury, ReleasePayouts, TreasuryPosted

UPDATE_PAYLOADS: dict[Update, type[BaseModel]] = {
    Update.WITHDRAW: m.Withdraw,
    Update.ANSWER_OFFER: m.AnswerOffer,
    Update.ANSWER_FINDING: m.AnswerFinding,
    Update.PROVIDE_WAYBILL: m.ProvideWaybill,
    Update.PROVIDE_ACCOUNT: m.ProvideAccount,
    Update.ESCALATE: m.Escalate,
    Update.ANSWER_INFO: m.AnswerInfo,
    Update.REQUEST_INFO: m.RequestInfo,
    Update.AUTHORIZE: m.Authorize,
    Update.DECLINE: m.Decline,
    Update.CONFIRM_RECEIPT: m.ConfirmReceipt,
    Update.REPORT_RECEIPT_ISSUE: m.ReportReceiptIssue,
    Update.SUBMIT_EVIDENCE: m.SubmitEvidence,
    Update.REPORT_PICKUP: m.PickupReport,
    Update.REPORT_TRACKING: m.TrackingReport,
    Update.REPORT_PAYMENT: m.PaymentReport,
    Update.RETRY_STEP: m.RetryStep,
    Update.SKIP_STEP: m.SkipStep,
    Update.EXTEND_DEADLINE: m.ExtendDeadline,
    Update.APPLY_RULING: m.ApplyRuling,
    Update.APPLY_APPROVAL: m.ApplyApproval,
    Update.CLOSE_CASE: m.CloseCase,
}
"""The body of every update that a caller may send."""

SENT: tuple[type[BaseModel], ...] = (
    m.ImportOrder,
    m.OpenReturn,
    m.ClaimRefund,
    m.PrepareApproval,
    m.CreateRuling,
    m.CreateAppeal,
    PostTreasury,
    HoldPayouts,
    ReleasePayouts,
    *UPDATE_PAYLOADS.values(),
)
"""What callers send."""

ANSWERED: tuple[type[BaseModel], ...] = (
    m.OrderImported,
    m.FirstDecision,
    m.Ack,
    m.CaseStatus,
    m.Explanation,
    m.CaseOutcome,
    m.CorrectionStatus,
    m.CorrectionOutcome,
    m.Approval,
    m.Ruling,
    m.EvidenceList,
    m.Appeal,
    Statement,
    SettledCuts,
    TreasuryPosted,
    Holds,
)
"""What callers get."""

PUBLIC = SENT + ANSWERED

FOLDER = Path(__file__).parent
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one message as it stands on the wire."""
    mode: JsonSchemaMode = "serialization" if model in ANSWERED else "validation"
    return {"$schema": DIALECT, **model.model_json_schema(mode=mode)}


def texts() -> dict[str, str]:
    """Every file's name and content as it ought to be."""
    return {
        f"{model.__name__}.json": json.dumps(schema_of(model), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for model in PUBLIC
    }


def stale(folder: Path = FOLDER) -> list[str]:
    """Names of files that are missing, differ from their message, or belong to none."""
    wanted = texts()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def write(folder: Path = FOLDER) -> list[str]:
    """Write what is stale, remove what belongs to no message; the names of the files touched."""
    wanted, touched = texts(), stale(folder)
    for name in touched:
        if name in wanted:
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()
    return touched
