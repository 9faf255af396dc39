"""`python -m sandbox.samples [--check]`: write samples/returns.jsonl, or say whether it is current."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sandbox.samples import exceptions, findings, straight, without_return

FILE = Path(__file__).resolve().parents[2] / "samples" / "returns.jsonl"


def text() -> str:
    """The file as it should be: one row a line, rows of one order together."""
    rows = [*straight.rows(), *findings.rows(), *exceptions.rows(), *without_return.rows()]
    return "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)


def main() -> int:
    """0: written, or current."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.samples", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the file is current")
    wanted = text()
    if not parser.parse_args().check:
        FILE.write_text(wanted, encoding="utf-8")
        print(f"{len(wanted.splitlines())} returns in {FILE.name}")
        return 0
    if FILE.read_text(encoding="utf-8") == wanted:
        return 0
    print(f"{FILE.name} is not what the scripts give: python -m sandbox.samples", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
