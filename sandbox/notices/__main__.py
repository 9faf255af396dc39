"""`python -m sandbox.notices`: the inbox on a port."""

from __future__ import annotations

import argparse
from pathlib import Path

from sandbox.common.cli import add_common, run_party
from sandbox.notices import PartySettings, create_app


def main() -> None:
    """Read the command line and serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.notices", description="The sandbox's inbox of notices.")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--book", type=Path, required=True, help="the SQLite file, made when it is missing")
    add_common(parser)
    options = parser.parse_args()
    settings = PartySettings(
        book=options.book,
        token=options.token,
        control_token=options.control_token,
        seed=options.seed,
    )
    run_party("notices", lambda: create_app(settings), options.host, options.port)


if __name__ == "__main__":
    main()
