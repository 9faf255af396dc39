"""Every notice that workflows send has words in both languages, and nothing of a person in them."""

from __future__ import annotations

import re
from pathlib import Path

from backhaul.ids import CaseId, notice_key
from backhaul.notices import NOTICES

ROOT = Path(__file__).parents[2]
SENT = re.compile(r"""(?:notify|deliver|remind)\(\s*[^()]*?Party\.([A-Z]+),\s*"([a-z_]+)\"""")


def test_workflows_send_only_known_notices_to_the_right_party() -> None:
    sent = {
        (party.lower(), about)
        for path in (ROOT / "workflows").rglob("*.py")
        for party, about in SENT.findall(path.read_text())
    }
    assert {(to, about) for to, about in sent if about not in NOTICES or NOTICES[about].to != to} == set()


def test_a_wrong_one_would_be_seen() -> None:
    assert SENT.findall('await notify(run, Party.MERCHANT, "nothing", due)') == [("MERCHANT", "nothing")]


def test_words() -> None:
    for about, notice in NOTICES.items():
        assert re.fullmatch(r"[a-z_]{3,30}", about)
        assert notice.text.en.isascii(), about
        assert notice.text.en.endswith("."), about
        assert notice.text.zh.endswith("。"), about
        assert re.fullmatch(r"X\d{1,2}", notice.path), about
        assert "{" not in notice.text.en + notice.text.zh


def test_keys() -> None:
    case = CaseId("m1", "r1")
    assert notice_key(case, "offer") == "m1:r1:notice.offer:1"
    assert notice_key(case, "offer", 2, "correction.1") == "m1:r1:notice.offer.correction.1:2"


def test_the_reference_has_every_notice_in_its_words() -> None:
    page = (ROOT / "docs/reference/notices.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_]+)` \| ([a-z]+) \| (X\d+) \| (.+?) \| (.+?) \|$", page, re.M)
    ours = [(about, n.to.value, n.path, n.text.en, n.text.zh) for about, n in NOTICES.items()]
    assert rows == ours
