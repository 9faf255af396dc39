"""Evidence is given in one's own name."""

from __future__ import annotations

import pytest

from api.evidence import check_evidence
from backhaul.errors import Refusal
from backhaul.facts import Party
from backhaul.messages import ConfirmReceipt, EvidenceRef, SubmitEvidence
from backhaul.names import Role


def _evidence(by: Party) -> SubmitEvidence:
    return SubmitEvidence(evidence=(EvidenceRef(ref="door.jpg", sha256="0" * 64, by=by),))


def test_a_merchant_gives_its_own_and_nobody_elses() -> None:
    check_evidence(Role.MERCHANT, _evidence(Party.MERCHANT))
    check_evidence(Role.CONSUMER, _evidence(Party.CONSUMER))
    check_evidence(Role.MERCHANT, ConfirmReceipt())
    with pytest.raises(Refusal) as refused:
        check_evidence(Role.MERCHANT, _evidence(Party.CONSUMER))
    assert (refused.value.code, refused.value.field) == ("forbidden", "evidence.0.by")
    with pytest.raises(Refusal) as refused:
        check_evidence(Role.CONSUMER, SubmitEvidence(nothing_more=True, by=Party.MERCHANT))
    assert (refused.value.code, refused.value.field) == ("forbidden", "by")
