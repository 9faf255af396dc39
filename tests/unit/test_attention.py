"""Every attention reason has a meaning, a runbook page that tells what to send, and nothing else has one."""

from __future__ import annotations

import re
from pathlib import Path

from backhaul.attention import REASONS, reason_of
from backhaul.errors import CODES
from backhaul.names import Update

ROOT = Path(__file__).parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"


def test_each_reason_has_a_page_and_each_page_a_reason() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(REASONS)
    index = (RUNBOOKS / "README.md").read_text()
    assert all(f"({reason}.md)" in index for reason in REASONS)


def test_each_reason_is_an_error_code_and_sends_a_real_update() -> None:
    updates = {update.value for update in Update}
    for reason, attention in REASONS.items():
        assert reason in CODES, reason
        assert attention.send.split()[0] in updates, reason
        page = (RUNBOOKS / f"{reason}.md").read_text()
        assert f"`{reason}`" in page
        assert re.search(r"retry_step|skip_step|apply_|close_case|engineer", page), reason


def test_parking_names_only_known_reasons() -> None:
    """Reasons spelled in workflow code are in the table; others fall back to step_failed with the code shown."""
    for path in (ROOT / "workflows").rglob("*.py"):
        for reason in re.findall(r'\.park\(\s*"([a-z_]+)"', path.read_text()):
            assert reason in REASONS, (path.name, reason)
    assert reason_of("claim_denied") == "claim_denied"
    assert reason_of("credit_exceeded") == "step_failed"
