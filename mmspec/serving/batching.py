"""Requests that arrive together are run together.

A batch begins with the first that waits, takes what else is there, and waits up to `delay` seconds for more; while the model runs
(in a thread of its own, one batch at a time), the next batch gathers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from mmspec.runtime.samples import Sample
from mmspec.runtime.session import Result

Waiting = tuple[Sample, "asyncio.Future[Result]"]


class Batcher:
    """run: a result for each of some samples; most: samples of a batch; seen: told the size of each."""

    def __init__(
        self, run: Callable[[Sequence[Sample]], list[Result]], most: int, delay: float, seen: Callable[[int], None]
    ) -> None:
        self._run, self._most, self._delay, self._seen = run, most, delay, seen
        self._waiting: asyncio.Queue[Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "model")

    async def __call__(self, sample: Sample) -> Result:
        """The result of one; what the model raises is raised to all of its batch."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((sample, future))
        return await future

    async def work(self) -> None:
        """Batch after batch, until it is cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                batch = [each for each in await self._gathered() if not each[1].done()]  # some have given up
                if not batch:
                    continue
                self._seen(len(batch))
                try:
                    results = await loop.run_in_executor(self._thread, self._run, [sample for sample, _ in batch])
                except Exception as error:
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(error)
                    continue
                for (_, future), result in zip(batch, results, strict=True):
                    if not future.done():
                        future.set_result(result)
        finally:
            self._thread.shutdown(wait=False)

    async def _gathered(self) -> list[Waiting]:
        loop = asyncio.get_running_loop()
        batch = [await self._waiting.get()]
        end = loop.time() + self._delay
        while len(batch) < self._most:
            if not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
                continue
            try:
                async with asyncio.timeout_at(end):
                    batch.append(await self._waiting.get())
            except TimeoutError:
                break
        return batch
