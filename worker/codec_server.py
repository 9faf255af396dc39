"""The codec server: lets Temporal's UI and CLI read payloads that only holders of the keys can read.

`python -m worker.codec_server` serves POST /encode and POST /decode (Temporal's remote codec protocol) to browsers of
the allowed origins, and GET /healthz. Whoever reaches it reads everything: keep it on loopback, or behind a proxy that
authenticates people.
"""

from __future__ import annotations

import structlog
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from google.protobuf import json_format
from pydantic import Field
from temporalio.api.common.v1 import Payloads

from worker.codec import EncryptionCodec, unmarked
from worker.log import configure
from worker.process import codec_of, read_settings, run_main
from worker.settings import BaseWorkerSettings

log = structlog.get_logger(__name__)

MAX_BODY = 16_000_000
"""Bytes: a page of a history is about 4 MB."""


class CodecSettings(BaseWorkerSettings):
    """What `python -m worker.codec_server` reads."""

    codec_host: str = Field(default="127.0.0.1", description="Address the codec server listens on")
    codec_port: int = Field(default=8081, ge=0, le=65_535, description="Port the codec server listens on")
    codec_origins: str = Field(
        default="http://localhost:8080,http://127.0.0.1:8080,http://localhost:8233,http://127.0.0.1:8233",
        description="Origins of the UIs that may ask, separated by commas",
    )


def create_app(codec: EncryptionCodec | None, origins: list[str]) -> FastAPI:
    """The codec server as an ASGI app. Without a codec payloads pass unchanged, as they do everywhere then."""
    app = FastAPI(title="Backhaul codec server", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["POST"],
        allow_headers=["content-type", "x-namespace", "authorization"],
        allow_credentials=True,
    )

    @app.get("/healthz")
    async def healthz() -> dict[str, bool]:
        return {"live": True}

    @app.post("/encode")
    async def encode(request: Request) -> Response:
        payloads = await _read(request)
        return _answer(payloads if codec is None else Payloads(payloads=await codec.encode(payloads.payloads)))

    @app.post("/decode")
    async def decode(request: Request) -> Response:
        payloads = await _read(request)
        # What cannot be decrypted is shown as it is; the mark is between the codec and the converter of a worker.
        return _answer(
            payloads if codec is None else Payloads(payloads=unmarked(await codec.decode(payloads.payloads)))
        )

    return app


async def _read(request: Request) -> Payloads:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413, "too large")
    try:
        payloads: Payloads = json_format.Parse(bytes(body), Payloads())
    except (json_format.ParseError, UnicodeDecodeError):
        raise HTTPException(400, "not Payloads as JSON") from None
    return payloads


def _answer(payloads: Payloads) -> Response:
    return Response(json_format.MessageToJson(payloads, indent=None), media_type="application/json")


async def main() -> int:
    """Serve until a signal comes."""
    settings = read_settings(CodecSettings)
    configure(settings.log_format, settings.log_level)
    codec = codec_of(settings)
    if codec is None:
        log.warning("BACKHAUL_CODEC_KEYS is not set: payloads pass unchanged")
    origins = [origin.strip() for origin in settings.codec_origins.split(",") if origin.strip()]
    config = uvicorn.Config(
        create_app(codec, origins),
        host=settings.codec_host,
        port=settings.codec_port,
        log_config=None,
        access_log=False,
    )
    await uvicorn.Server(config).serve()
    return 0


if __name__ == "__main__":
    run_main(main)
