"""`python -m backhaul.schemas --write | --check`."""

from __future__ import annotations

import argparse
import sys

from backhaul.schemas import FOLDER, stale, write


def main(arguments: list[str] | None = None) -> int:
    """Write the schemas, or name the stale ones and return 1."""
    parser = argparse.ArgumentParser(prog="python -m backhaul.schemas", description=__doc__)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write the schemas of the messages")
    mode.add_argument("--check", action="store_true", help="fail when a committed schema is stale")
    if parser.parse_args(arguments).write:
        for name in write():
            print(f"wrote {FOLDER.name}/{name}")
        return 0
    names = stale()
    for name in names:
        print(f"stale: {FOLDER.name}/{name} (run: make schema)", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
