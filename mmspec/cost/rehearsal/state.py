"""What is going on: how many bytes are held, for whom, and in which mode functions run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from mmspec.cost.rehearsal.dtypes import F32, Dtype


class NoRule(AttributeError):
    """A function of torch of which nobody has said what it holds. `what` is its name, `kind` the primitive that calls it."""

    def __init__(self, what: str, kind: str = "") -> None:
        super().__init__(what)
        self.what, self.kind = what, kind


class Place(NamedTuple):
    """Where in the model something happens, and when: "forward", "backward", "recomputation", "optimizer"; what is there before
    the step is "weights", "buffers", "inputs", "states"."""

    path: str
    kind: str
    phase: str


class Meter:
    """Bytes that are held, their most, and who held them then."""

    def __init__(self) -> None:
        self.now = self.peak = self.last = 0
        self.at = Place("", "", "")
        self._log: list[
            tuple[int, int, Place | None]
        ] = []  # a number of what is held, its bytes, or None where it ends
        self._peak_at = 0

    def take(self, size: int, place: Place) -> int:
        """Hold `size` bytes from now on.   -> a number to give them back by"""
        self.last += 1
        self.now += size
        self._log.append((self.last, size, place))
        if self.now > self.peak:
            self.peak, self.at, self._peak_at = self.now, place, len(self._log)
        return self.last

    def give(self, number: int, size: int) -> None:
        self.now -= size
        self._log.append((number, size, None))

    def rename(self, number: int, size: int, place: Place) -> None:
        """What has been taken is somebody else's from now on."""
        self._log.append((number, size, place))

    def forget(self) -> None:
        """From now on the most is what is held now."""
        self.peak, self._peak_at = self.now, len(self._log)

    def touch(self, size: int, place: Place) -> None:
        """Bytes that an operation holds while it runs."""
        if size:
            self.give(self.take(size, place), size)

    def events(self) -> Iterator[tuple[int, int]]:
        """Births and deaths in order: a number and its bytes, below zero where it ends."""
        held: set[int] = set()
        for number, size, place in self._log:
            if place is None:
                yield number, -size
            elif number not in held:  # else it is renamed
                held.add(number)
                yield number, size

    def course(self) -> list[tuple[Place, int]]:
        """Operation after operation, and the most bytes that are held while each is at work."""
        moments: list[tuple[Place, int]] = []
        held: dict[int, int] = {}
        now = 0
        for number, size, place in self._log:
            now += (0 if place is None else size) - held.pop(number, 0)
            if place is not None:
                held[number] = size
                if moments and moments[-1][0] == place:
                    moments[-1] = (place, max(now, moments[-1][1]))
                else:
                    moments.append((place, now))
        return moments

    def alive_at_peak(self) -> list[tuple[Place, int]]:
        """What was held at the worst moment: for whom, and how many bytes."""
        alive: dict[int, tuple[Place, int]] = {}
        for number, size, place in self._log[: self._peak_at]:
            if place is None:
                del alive[number]
            else:
                alive[number] = (place, size)
        return list(alive.values())


class State(threading.local):
    """Of the rehearsal that runs in this thread."""

    meter: Meter | None = None
    weights = F32  # the type of weights
    phase = "forward"
    place = Place("", "", "")
    gradients = True  # grad mode
    training = True
    autocast: Dtype | None = None
    casts: dict[int, Any] | None = None  # copies of weights in the autocast's type, until its block ends
    materialised = False  # attention is matrix products and a softmax, not a fused kernel
    watched = False  # as torch behaves under a dispatch mode, where it does less in place
    met = 0  # experts that each token meets, where that is all who are asked; 0: shares that are alike
    saving: Any = None  # the block that is to be recomputed, or is being
    clock = 0  # of autograd's nodes


STATE = State()


@contextmanager
def rehearsing(meter: Meter, **modes: Any) -> Iterator[None]:
    """Count into `meter` for a while, with these modes of `State`."""
    with set_for_a_while(meter=meter, saving=None, clock=0, **modes):
        yield


@contextmanager
def set_for_a_while(**modes: Any) -> Iterator[None]:
    before = {name: getattr(STATE, name) for name in modes}
    for name, value in modes.items():
        setattr(STATE, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(STATE, name, value)


def enter(path: str, kind: str, phase: str) -> None:
    STATE.place = Place(path, kind, phase)
