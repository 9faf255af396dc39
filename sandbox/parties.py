"""All four parties in one process, each on its own port with its own book.

`python -m sandbox.parties --ports 7301 7302 7303 7304 --books DIR --token T --control-token C` prints a line for each
party ("courier http://127.0.0.1:7301") once it accepts connections, and serves until a signal comes.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox import courier, insurer, notices, psp
from sandbox.common.cli import add_common, add_webhook, until_signalled
from sandbox.common.serve import RunningServer, serve
from sandbox.common.settings import PartySettings
from sandbox.control import CourierControl, InsurerControl, NoticesControl, PspControl


@dataclass(frozen=True)
class Parties:
    """The four running parties, and a client for the control plane of each."""

    courier: RunningServer
    psp: RunningServer
    insurer: RunningServer
    notices: RunningServer
    courier_control: CourierControl
    psp_control: PspControl
    insurer_control: InsurerControl
    notices_control: NoticesControl

    async def stop(self) -> None:
        """Stop all four; their books stay."""
        controls = (self.courier_control, self.psp_control, self.insurer_control, self.notices_control)
        await asyncio.gather(*(control.aclose() for control in controls))
        await asyncio.gather(*(server.stop() for server in (self.courier, self.psp, self.insurer, self.notices)))


async def serve_parties(
    books: Path,
    *,
    token: str,
    control_token: str,
    host: str = "127.0.0.1",
    ports: tuple[int, int, int, int] = (0, 0, 0, 0),
    webhook_url: str | None = None,
    webhook_secret: str | None = None,
    psp_webhook_url: str | None = None,
    seed: int = 0,
) -> Parties:
    """Serve courier, PSP, insurer and the inbox of notices (`ports` in this order, 0 takes a free one) with their
    books in folder `books`."""

    def plain(name: str) -> PartySettings:
        return PartySettings(book=books / f"{name}.db", token=token, control_token=control_token, seed=seed)

    courier_settings = courier.CourierSettings(
        book=books / "courier.db",
        token=token,
        control_token=control_token,
        seed=seed,
        webhook_url=webhook_url,
        webhook_secret=webhook_secret,
    )
    apps = (
        courier.create_app(courier_settings),
        psp.create_app(replace(plain("psp"), webhook_url=psp_webhook_url, webhook_secret=webhook_secret)),
        insurer.create_app(plain("insurer")),
        notices.create_app(plain("notices")),
    )
    servers: list[RunningServer] = []
    try:
        for app, port in zip(apps, ports, strict=True):
            servers.append(await serve(app, host, port))
    except BaseException:
        for server in servers:
            await server.stop()
        raise
    return Parties(
        courier=servers[0],
        psp=servers[1],
        insurer=servers[2],
        notices=servers[3],
        courier_control=CourierControl(servers[0].url, control_token, token),
        psp_control=PspControl(servers[1].url, control_token, token),
        insurer_control=InsurerControl(servers[2].url, control_token, token),
        notices_control=NoticesControl(servers[3].url, control_token, token),
    )


def main() -> None:
    """Read the command line and serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.parties", description="The sandbox's four parties.")
    ports = ("COURIER", "PSP", "INSURER", "NOTICES")
    parser.add_argument("--ports", type=int, nargs=4, required=True, metavar=ports, help="0 takes a free one")
    parser.add_argument("--books", type=Path, required=True, help="the folder of the four SQLite files")
    add_common(parser)
    add_webhook(parser)
    parser.add_argument("--psp-webhook-url", help="where the payment provider's webhooks go; the secret is the same")
    options = parser.parse_args()

    async def start() -> Sequence[tuple[str, RunningServer]]:
        parties = await serve_parties(
            options.books,
            token=options.token,
            control_token=options.control_token,
            host=options.host,
            ports=tuple(options.ports),
            webhook_url=options.webhook_url,
            webhook_secret=options.webhook_secret,
            psp_webhook_url=options.psp_webhook_url,
            seed=options.seed,
        )
        return [
            ("courier", parties.courier),
            ("psp", parties.psp),
            ("insurer", parties.insurer),
            ("notices", parties.notices),
        ]

    asyncio.run(until_signalled(start))


if __name__ == "__main__":
    main()
