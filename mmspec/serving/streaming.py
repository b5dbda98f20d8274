"""A text as it is written: server-sent events, `data: ` and JSON, one for each token and one for the whole.

    data: {"id": 265, "text": " on"}
    data: {"text": " on the mat", "ids": [265, 12, 3347], "ended": true}

Pieces of text together are the text; a piece is empty where a token is a part of a letter only.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from mmspec.reading.text import Tokenizer
from mmspec.runtime.session import Result
from mmspec.runtime.writing import Beginning

UNREADABLE = "\ufffd"  # what tokenizers make of a part of a letter


class Events(StreamingResponse):
    """The events of one beginning.

    write    gives the whole, once it is written
    seconds  in which it must be
    leave    is told the status code that the request would have had, when it is over
    """

    def __init__(
        self,
        beginning: Beginning,
        write: Callable[[Beginning], Awaitable[Result]],
        tokenizer: Tokenizer | None,
        seconds: float,
        leave: Callable[[int], None],
    ) -> None:
        super().__init__(self._events(), headers={"Cache-Control": "no-store"}, media_type="text/event-stream")
        self._beginning, self._write, self._tokenizer = beginning, write, tokenizer
        self._seconds, self._leave = seconds, leave
        self._code = 499  # the client went away

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave(self._code)

    async def _events(self) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        written: asyncio.Queue[int | None] = asyncio.Queue()  # None: that was all

        def told(id: int) -> None:
            loop.call_soon_threadsafe(written.put_nowait, id)

        answer = asyncio.ensure_future(self._write(replace(self._beginning, told=told)))
        answer.add_done_callback(lambda _: written.put_nowait(None))
        pieces = Pieces(self._tokenizer)
        try:
            while True:
                id = await asyncio.wait_for(written.get(), end - loop.time())
                if id is None:
                    break
                yield event({"id": id, **pieces.after(id)})
            yield event(answer.result())
            self._code = 200
        except TimeoutError:
            self._code = 504
            yield event({"error": {"message": f"not written within {self._seconds:g} s"}})
        except Exception:
            self._code = 500
            yield event({"error": {"message": "the server failed; its log says why"}})
            raise
        finally:
            answer.cancel()


class Pieces:
    """What each token adds to the text."""

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer, self._ids, self._said = tokenizer, list[int](), ""

    def after(self, id: int) -> dict[str, str]:
        if self._tokenizer is None:
            return {}
        self._ids.append(id)
        text = self._tokenizer.decode(self._ids).rstrip(UNREADABLE)
        piece = text.removeprefix(self._said) if text.startswith(self._said) else ""
        self._said += piece
        return {"text": piece}


def event(told: dict[str, Any]) -> str:
    return f"data: {json.dumps(told, ensure_ascii=False)}\n\n"
