"""The executor of a study of many hosts: trainings go to the board, and whoever is there takes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Self

from mmspec.study.board import Board
from mmspec.study.jobs import Heard, Job, Outcome

POLL_S = 0.5


class Remote:
    """As many slots as the trainers that are alive have, which may change at any time.

    The board's connection is the one that holds the study's lock: when it breaks, this fails, and nothing is told any more.
    watch     raises what must end the search: this process's own trainings are impossible
    """

    def __init__(self, board: Board, watch: Callable[[], None]) -> None:
        self.board, self.watch = board, watch
        self._keys: list[str] = []
        self._said: dict[int, int] = {}

    @property
    def slots(self) -> int:
        return max(1, self.board.slots())

    def submit(self, job: Job) -> None:
        self._keys.append(self.board.put(job))

    def wait(self, heard: Heard) -> Outcome | None:
        slots = self.slots
        cared = 0.0
        while True:
            self.watch()
            for key, outcome in self.board.answers(self._keys):
                self._keys.remove(key)
                return outcome
            if time.monotonic() - cared >= POLL_S:
                cared = time.monotonic()
                self.board.give_out_again()
                for said in self.board.progress(self._keys):
                    self._hear(heard, *said)
                if self.slots > slots:
                    return None  # somebody came: there is room for more
            self.board.wait(POLL_S)

    def _hear(self, heard: Heard, number: int, step: int, steps: int, metrics: Mapping[str, float]) -> None:
        if self._said.get(number) != step:
            self._said[number] = step
            heard(number, step, steps, metrics)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._keys.clear()
