"""What a package does for those who ask: it predicts, or it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmspec.runtime import BadRequest, Session
from mmspec.runtime.samples import plain
from mmspec.runtime.session import Result
from mmspec.runtime.writing import shortest
from mmspec.serving.batching import Wanted
from mmspec.serving.body import reply_of, request_of
from mmspec.serving.described import predicting, writing
from mmspec.serving.metrics import Metrics


@dataclass(frozen=True)
class Asked:
    """A request that was read.   what: as `run` takes it; stream: token by token"""

    what: Any
    stream: bool = False


@dataclass(frozen=True)
class Service:
    """One address.

    read   a body as what is asked; raises ValueError, BadRequest
    run    the results of several, in one batch where they fit together
    reply  a result as JSON
    first  what is run before the first request
    body   a body as OpenAPI says it, with an example;   answer: likewise
    """

    path: str
    summary: str
    read: Callable[[bytes], Asked]
    run: Callable[[Sequence[Any], Wanted], list[Result]]
    reply: Callable[[Result], dict[str, Any]]
    first: Any
    body: Mapping[str, Any]
    answer: Mapping[str, Any]


def service_of(session: Session, tokens: int, metrics: Metrics) -> Service:
    """The one that a package has.   tokens: that are written at most"""
    return _predicts(session) if session.writer is None else _writes(session, tokens, metrics)


def _predicts(session: Session) -> Service:
    def read(body: bytes) -> Asked:
        inputs, _ = request_of(body, session.contract)
        return Asked(session.read(inputs))

    def run(samples: Sequence[Any], wanted: Wanted) -> list[Result]:
        return session.run(samples)

    first = plain(session.contract)
    return Service(
        "/v1/predict", "What the model says to one request", read, run, reply_of, first, *predicting(session)
    )


def _writes(session: Session, most: int, metrics: Metrics) -> Service:
    assert session.writer is not None

    def read(body: bytes) -> Asked:
        inputs, said = request_of(body, session.contract, ("tokens", "stream"))
        tokens, stream = said.get("tokens", most), said.get("stream", False)
        if not isinstance(stream, bool):
            raise BadRequest("stream", "true or false")
        if isinstance(tokens, int) and tokens > most:
            raise BadRequest("tokens", f"at most {most} are written")
        return Asked(session.begin(inputs, tokens), stream)

    def run(beginnings: Sequence[Any], wanted: Wanted) -> list[Result]:
        texts = session.go_on(beginnings, wanted)
        metrics.tokens = (metrics.tokens or 0) + sum(len(text["ids"]) for text in texts)
        return texts

    first = shortest(session.contract, session.writer)
    return Service("/v1/write", "How a text goes on", read, run, lambda text: text, first, *writing(session, most))
