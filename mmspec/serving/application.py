"""The application: what is asked at which address, and with which status code it is answered.

GET  /health/live    the process answers
GET  /health/ready   the model has run once
GET  /v1/metadata    contract.json
GET  /metrics        for Prometheus
POST /v1/predict     one request; /v1/write of a package that writes a text
GET  /docs           all of this, from the contract
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mmspec import __version__
from mmspec.runtime import BadRequest, Session
from mmspec.serving.batching import Batcher
from mmspec.serving.body import Malformed
from mmspec.serving.described import ERROR
from mmspec.serving.limits import DEFAULT, Limits
from mmspec.serving.metrics import Metrics
from mmspec.serving.services import service_of
from mmspec.serving.streaming import Events

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
    service = service_of(session, limits.tokens, metrics)
    most = min(limits.batch, session.most)
    batcher = Batcher[Any](service.run, most, limits.delay_ms / 1e3, metrics.sizes.add)
    readers = ThreadPoolExecutor(READERS, "reader")

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.run, [service.first], lambda: True)
        metrics.tokens = None if session.writer is None else 0  # that text was nobody's
        batcher.start()
        app.state.ready = True
        yield
        app.state.ready = False
        batcher.stop()
        readers.shutdown(wait=False)

    app = FastAPI(title=name, version=__version__, lifespan=life)
    app.state.ready = False

    async def answered(request: Request, leave: Callable[[int], None]) -> Response:
        """Raises Refused"""
        body = await body_of(request, limits)
        try:
            async with asyncio.timeout(limits.seconds):
                asked = await asyncio.get_running_loop().run_in_executor(readers, service.read, body)
                if asked.stream:
                    return Events(asked.what, batcher, session.tokenizer, limits.seconds, leave)
                return JSONResponse(service.reply(await batcher(asked.what)))
        except TimeoutError:
            raise Refused(504, f"not answered within {limits.seconds:g} s") from None
        except BadRequest as error:
            raise Refused(422, error.problem, error.name) from error
        except Malformed as error:
            raise Refused(400, str(error)) from error

    @app.post(
        service.path,
        operation_id=service.path.rpartition("/")[2],
        summary=service.summary,
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": service.body}}},
        responses={
            200: {"description": "the answer", "content": {"application/json": service.answer}},
            **{
                code: {"description": told, "content": {"application/json": {"schema": ERROR}}}
                for code, told in REFUSALS.items()
            },
        },
    )
    async def answer(request: Request) -> Response:
        if metrics.inside >= limits.inside:
            metrics.answered[429] += 1
            return refusal(Refused(429, f"{limits.inside} requests are being answered already; try again"))
        leave = metrics.enter()
        try:
            reply = await answered(request, leave)
        except Refused as error:
            reply = refusal(error)
        except BaseException:  # what we did not foresee
            leave(500)
            raise
        if not isinstance(reply, Events):  # those leave with the last one
            leave(reply.status_code)
        return reply

    @app.get("/v1/metadata", summary="The contract: inputs and outputs by name; limits; a body that is answered")
    async def metadata() -> dict[str, Any]:
        limited = {"body_bytes": limits.body_bytes, "pixels": limits.pixels, "seconds": limits.seconds, "batch": most}
        if session.writer is not None:
            limited["tokens"] = limits.tokens
        runs = {"runtime": session.runtime, "device": session.device}
        told = {
            "name": name,
            "address": service.path,
            **runs,
            "limits": limited,
            "example": service.body.get("example"),
        }
        return {**told, "contract": session.contract.told}

    @app.get("/health/live", summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", summary="The model has run", responses={503: {"description": "not yet, or no longer"}})
    async def ready() -> JSONResponse:
        return JSONResponse({"ready": app.state.ready}, 200 if app.state.ready else 503)

    @app.get("/metrics", summary="Counts and times, for Prometheus", response_class=PlainTextResponse)
    async def counted() -> PlainTextResponse:
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.exception_handler(HTTPException)
    async def no_such_address(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": {"message": error.detail}}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": {"message": "the server failed; its log says why"}}, 500)

    return app


async def body_of(request: Request, limits: Limits) -> bytes:
    """The body of JSON, as long as it is no larger than it may be, and there in time.   Raises Refused"""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, f"the body is application/json, not {kind[:80]}")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Refused(415, f"the body is sent as it is, not in {encoding[:80]}")
    try:
        async with asyncio.timeout(limits.seconds):
            return await bytes_of(request, limits.body_bytes)
    except ClientDisconnect:
        raise Refused(400, "the client went away") from None
    except TimeoutError:
        raise Refused(408, f"the request did not arrive within {limits.seconds:g} s") from None


async def bytes_of(request: Request, most: int) -> bytes:
    """Raises Refused: it is larger"""
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
    # half a surrogate pair is no JSON
    told = {name: said.encode(errors="replace").decode() for name, said in told.items()}
    return JSONResponse({"error": told}, why.code, {"Retry-After": "1"} if why.code == 429 else None)
