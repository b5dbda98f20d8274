"""Requests that arrive together are run together.

A batch begins with the first that waits, takes what else is there, and waits up to `delay` seconds for more; while the model runs,
in a thread of its own, the next batch gathers. The thread takes batch after batch without asking the event loop, which is busy
with HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from mmspec.runtime.session import Result

T = TypeVar("T")
Wanted = Callable[[], bool]  # whether anybody still waits for a batch
Waiting = tuple[T, "asyncio.Future[Result]"]


class Batcher(Generic[T]):
    """run: a result for each of some requests, in vain once they are no longer wanted; most: requests of a batch; seen: told the
    size of each, in the thread."""

    def __init__(
        self, run: Callable[[Sequence[T], Wanted], list[Result]], most: int, delay: float, seen: Callable[[int], None]
    ) -> None:
        self._run, self._most, self._delay, self._seen = run, most, delay, seen
        self._waiting: SimpleQueue[Waiting[T] | None] = SimpleQueue()  # None: that was all
        self._thread = Thread(target=self._work, name="model", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What waits is still run."""
        self._waiting.put(None)

    async def __call__(self, asked: T) -> Result:
        """The result of one; what the model raises is raised to all of its batch."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.put((asked, future))
        return await future

    def _work(self) -> None:
        while gathered := self._gathered():
            batch = [each for each in gathered if not each[1].done()]  # some have given up
            if not batch:
                continue
            self._seen(len(batch))
            try:
                results: list[Result] | Exception = self._run([asked for asked, _ in batch], _wanted(batch))
            except Exception as error:
                results = error
            loop = batch[0][1].get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, batch, results)

    def _gathered(self) -> list[Waiting[T]]:
        """The next batch; empty at the end."""
        batch: list[Waiting[T]] = []
        end: float | None = None
        while len(batch) < self._most:
            try:
                each = self._waiting.get(timeout=None if end is None else max(0.0, end - time.monotonic()))
            except Empty:
                break
            if each is None:
                self._waiting.put(None)
                break
            batch.append(each)
            end = end or time.monotonic() + self._delay
        return batch


def _wanted(batch: Sequence[Waiting[Any]]) -> Wanted:
    return lambda: not all(future.done() for _, future in batch)


def _settle(batch: Sequence[Waiting[Any]], results: list[Result] | Exception) -> None:
    for number, (_, future) in enumerate(batch):
        if future.done():
            continue
        if isinstance(results, Exception):
            future.set_exception(results)
        else:
            future.set_result(results[number])
