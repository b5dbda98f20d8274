"""The application: what is asked at which address, and with which status code it is answered.

GET  /health/live    the process answers
GET  /health/ready   the model has run once
GET  /v1/metadata    contract.json
GET  /metrics        for Prometheus
POST /v1/predict     one request
GET  /docs           all of this, from the contract
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.requests import ClientDisconnect

from mmspec import __version__
from mmspec.runtime import BadRequest, Session
from mmspec.runtime.samples import Sample, plain
from mmspec.serving.batching import Batcher
from mmspec.serving.body import reply_of, request_of, schema_of
from mmspec.serving.limits import DEFAULT, Limits
from mmspec.serving.metrics import Metrics

READERS = 2  # threads that read pictures and sounds while the model runs
REFUSALS = {
    400: "not JSON, or not of this form",
    408: "it did not arrive in time",
    413: "it is too large",
    415: "it is not application/json",
    422: "an input is missing, unknown, unreadable, or not what the contract says",
    429: "too many requests at a time; try again",
    504: "it was not answered in time",
}


class Refused(Exception):
    """A request is not answered, and why."""

    def __init__(self, code: int, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.name = code, message, name


def application(session: Session, limits: Limits = DEFAULT, name: str = "model") -> FastAPI:
    """The application over a session that nobody else runs."""
    metrics = Metrics()
    most = min(limits.batch, session.most)
    batcher = Batcher(session.run, most, limits.delay_ms / 1e3, metrics.sizes.add)
    readers = ThreadPoolExecutor(READERS, "reader")

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(session.run, [plain(session.contract)])
        batcher.start()
        app.state.ready = True
        yield
        app.state.ready = False
        batcher.stop()
        readers.shutdown(wait=False)

    app = FastAPI(title=name, version=__version__, lifespan=life)
    app.state.ready = False

    def read(body: bytes) -> Sample:
        return session.read(request_of(body, session.contract))

    async def answered(request: Request) -> dict[str, Any]:
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, f"the body is application/json, not {kind[:80]}")
        try:
            async with asyncio.timeout(limits.seconds):
                body = await body_of(request, limits.body_bytes)
        except ClientDisconnect:
            raise Refused(400, "the client went away") from None
        except TimeoutError:
            raise Refused(408, f"the request did not arrive within {limits.seconds:g} s") from None
        try:
            async with asyncio.timeout(limits.seconds):
                sample = await asyncio.get_running_loop().run_in_executor(readers, read, body)
                return reply_of(await batcher(sample))
        except TimeoutError:
            raise Refused(504, f"not answered within {limits.seconds:g} s") from None
        except BadRequest as error:
            raise Refused(422, error.problem, error.name) from error
        except ValueError as error:
            raise Refused(400, str(error)) from error

    @app.post(
        "/v1/predict",
        summary="What the model says to one request",
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema_of(session.contract)}}}
        },
        responses={code: {"description": told} for code, told in REFUSALS.items()},
    )
    async def predict(request: Request) -> Response:
        start = time.perf_counter()
        code = 500  # what we did not foresee
        if metrics.inside >= limits.inside:
            metrics.answered[429] += 1
            return refusal(Refused(429, f"{limits.inside} requests are being answered already; try again"))
        metrics.inside += 1
        try:
            reply = JSONResponse(await answered(request))
            code = 200
        except Refused as error:
            reply = refusal(error)
            code = error.code
        finally:
            metrics.inside -= 1
            metrics.answered[code] += 1
            metrics.seconds.add(time.perf_counter() - start)
        return reply

    @app.get("/v1/metadata", summary="The contract: inputs and outputs by name")
    async def metadata() -> dict[str, Any]:
        limited = {"body_bytes": limits.body_bytes, "pixels": limits.pixels, "seconds": limits.seconds, "batch": most}
        return {"name": name, "runtime": session.runtime, "limits": limited, "contract": session.contract.told}

    @app.get("/health/live", summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", summary="The model has run", responses={503: {"description": "not yet, or no longer"}})
    async def ready() -> JSONResponse:
        return JSONResponse({"ready": app.state.ready}, 200 if app.state.ready else 503)

    @app.get("/metrics", summary="Counts and times, for Prometheus", response_class=PlainTextResponse)
    async def counted() -> PlainTextResponse:
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")

    return app


async def body_of(request: Request, most: int) -> bytes:
    """The body, as long as it is no larger than that.   Raises Refused"""
    said = request.headers.get("content-length", "0")
    if said.isdecimal() and int(said) > most:
        raise Refused(413, f"the body has {int(said):,} bytes, where {most:,} are taken")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise Refused(413, f"the body has more than {most:,} bytes")
    return bytes(body)


def refusal(why: Refused) -> JSONResponse:
    told = {"message": why.message} if why.name is None else {"input": why.name, "message": why.message}
    return JSONResponse({"error": told}, why.code, {"Retry-After": "1"} if why.code == 429 else None)
