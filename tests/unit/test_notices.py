"""Every notice that workflows send has words in both languages, and nothing of a person in them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
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


PLACE = {"notify": 2, "ask": 2, "remind": 2, "deliver": 4}
"""Where each of them takes the notice's word."""


def sent_words(source: str) -> set[str]:
    """The words that a module sends, as patterns: what its calls name, by itself or through a name that is assigned
    there, or a parameter that its calls give."""
    tree = ast.parse(source)
    assigned: dict[str, list[ast.expr]] = {}
    functions = {one.name: one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            for parameter, value in zip(functions[node.func.id].args.args, node.args, strict=False):
                assigned.setdefault(parameter.arg, []).append(value)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            assigned.setdefault(node.target.id, []).append(node.value)
        if isinstance(node, ast.Assign):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=True))
                for name, value in pairs:
                    if isinstance(name, ast.Name):
                        assigned.setdefault(name.id, []).append(value)

    def words(node: ast.expr) -> Iterator[str]:
        match node:
            case ast.Constant(value=str(word)):
                yield re.escape(word)
            case ast.JoinedStr(values=parts):
                yield "".join(re.escape(str(one.value)) if isinstance(one, ast.Constant) else ".+" for one in parts)
            case ast.IfExp(body=one, orelse=other):
                yield from words(one)
                yield from words(other)
            case ast.BoolOp(values=each):
                for value in each:
                    yield from words(value)
            case ast.Dict(keys=keys):
                for key in keys:
                    yield from words(key) if key is not None else ()
            case ast.Name(id=name):
                values = assigned.pop(name, [])  # a name may be assigned from itself
                for value in values:
                    yield from words(value)
                assigned[name] = values

    found: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        called, given = node.func.id, node.args
        if called == "partial" and isinstance(given[0], ast.Name):
            called, given = given[0].id, given[1:]
        if called in PLACE and len(given) > PLACE[called]:
            found |= set(words(given[PLACE[called]]))
            found |= {word for one in node.keywords if one.arg == "reminders" for word in words(one.value)}
    return found


def test_every_known_notice_is_sent() -> None:
    sources = [path.read_text() for path in (ROOT / "workflows").rglob("*.py")]
    sent = set().union(*map(sent_words, sources))
    if any(re.search(r"effect\(\s*tell_shortfall,", source) for source in sources):
        sent |= set(re.findall(r'about="([a-z_]+)"', (ROOT / "activities/notices.py").read_text()))
    assert {about for about in NOTICES if not any(re.fullmatch(word, about) for word in sent)} == set()


def test_one_that_nobody_sends_would_be_seen() -> None:
    source = """
WAITS = "waits"
about, reminders = "first" if new else "second", {"again": 1.0}
ask(run, Party.CONSUMER, about, "code", 1.0, said, reminders=reminders)
deliver(desk, case, patience, party, f"evidence_{party}")
def tell(run, word): notify(run, Party.CONSUMER, word)
tell(run, "given")
partial(remind, run, Party.CONSUMER, WAITS, due)
print("never")
"""
    assert sent_words(source) == {"first", "second", "again", "evidence_.+", "given", "waits"}


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
