"""Evidence is given in one's own name."""

from __future__ import annotations

import pytest

from api.routes.updates import check_evidence
from backhaul.errors import Refusal
from backhaul.facts import Party
from backhaul.messages import ConfirmReceipt, EvidenceRef, SubmitEvidence
from backhaul.names import Update


def _evidence(by: Party) -> SubmitEvidence:
    return SubmitEvidence(evidence=(EvidenceRef(ref="door.jpg", sha256="0" * 64, by=by),))


def test_a_merchant_gives_its_own_and_nobody_elses() -> None:
    check_evidence(Update.SUBMIT_EVIDENCE, _evidence(Party.MERCHANT))
    check_evidence(Update.CONFIRM_RECEIPT, ConfirmReceipt())
    with pytest.raises(Refusal) as refused:
        check_evidence(Update.SUBMIT_EVIDENCE, _evidence(Party.CONSUMER))
    assert (refused.value.code, refused.value.field) == ("forbidden", "evidence.0.by")
