"""`python -m sandbox.psp`: the payment provider on a port."""

from __future__ import annotations

import argparse
from pathlib import Path

from sandbox.common.cli import add_common, add_webhook, run_party
from sandbox.psp import PartySettings, create_app


def main() -> None:
    """Read the command line and serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.psp", description="The sandbox's payment provider.")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--book", type=Path, required=True, help="the SQLite file, made when it is missing")
    add_common(parser)
    add_webhook(parser)
    options = parser.parse_args()
    settings = PartySettings(
        book=options.book,
        token=options.token,
        control_token=options.control_token,
        seed=options.seed,
        webhook_url=options.webhook_url,
        webhook_secret=options.webhook_secret,
    )
    run_party("psp", lambda: create_app(settings), options.host, options.port)


if __name__ == "__main__":
    main()
