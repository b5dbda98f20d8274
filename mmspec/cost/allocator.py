"""What CUDA's caching allocator reserves for a trace of births and deaths, simulated: which tensors a card is asked to hold, and
how many bytes the process takes from it. Rules of torch's c10/cuda/CUDACachingAllocator.cpp, as of torch 2.x with its defaults:

    a request is rounded up to 512 bytes                                             the block; what is `allocated`
    up to 1 MiB it comes from segments of 2 MiB                                      the small pool
    below 10 MiB from segments of 20 MiB, above that from one of its own, rounded up to 2 MiB      the large pool
    the smallest free block of the pool that is large enough is taken                best fit; the lower address of two
    what is left of it is split off: at least 512 bytes in the small pool, more than 1 MiB in the large one
    a freed block joins its free neighbours; segments are kept                       what is `reserved`

One stream, no limit of the card, no garbage collection, no expandable segments. What the context and libraries keep for
themselves (some hundred MiB) is no part of it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

ROUND = 512
SMALL, SMALL_SEGMENT = 1 << 20, 2 << 20
LARGE, LARGE_SEGMENT, LARGE_ROUND = 10 << 20, 20 << 20, 2 << 20


class Event(NamedTuple):
    """A birth of so many bytes, or of the same tensor's a death: the bytes below zero. Of no bytes, nothing is asked for."""

    tensor: int
    bytes: int


@dataclass(frozen=True)
class Reserved:
    """Peaks in bytes: `live` as tensors have them, `allocated` as blocks do, `reserved` in segments."""

    live: int
    allocated: int
    reserved: int


@dataclass(eq=False, slots=True)
class _Block:
    address: int
    size: int
    small: bool
    free: bool = False
    before: _Block | None = None
    after: _Block | None = None

    @property
    def order(self) -> tuple[int, int]:
        return self.size, self.address


@dataclass
class Allocator:
    """Takes requests one by one; `allocated` and `reserved` are of now."""

    allocated: int = 0
    reserved: int = 0
    _free: dict[bool, list[tuple[int, int]]] = field(default_factory=lambda: {True: [], False: []})
    _blocks: dict[tuple[int, int], _Block] = field(default_factory=dict)  # those that are free
    _end: int = 0

    def take(self, size: int) -> _Block:
        """A block for `size` bytes, at least one."""
        assert size > 0
        size = -(-size // ROUND) * ROUND
        small = size <= SMALL
        block = self._fit(size, small) or self._segment(size, small)
        rest = block.size - size
        if rest >= ROUND if small else rest > SMALL:
            self._release(self._split(block, size))
        self.allocated += block.size
        return block

    def give(self, block: _Block) -> None:
        self.allocated -= block.size
        for other in (block.before, block.after):
            if other is not None and other.free:
                self._remove(other)
                block = _joined(other, block) if other is block.before else _joined(block, other)
        self._release(block)

    def _fit(self, size: int, small: bool) -> _Block | None:
        free = self._free[small]
        place = bisect_left(free, (size, 0))
        if place == len(free):
            return None
        block = self._blocks[free[place]]
        self._remove(block)
        return block

    def _segment(self, size: int, small: bool) -> _Block:
        if small:
            whole = SMALL_SEGMENT
        elif size < LARGE:
            whole = LARGE_SEGMENT
        else:
            whole = -(-size // LARGE_ROUND) * LARGE_ROUND
        block = _Block(self._end, whole, small)
        self._end += whole
        self.reserved += whole
        return block

    def _split(self, block: _Block, size: int) -> _Block:
        rest = _Block(block.address + size, block.size - size, block.small, before=block, after=block.after)
        if block.after is not None:
            block.after.before = rest
        block.size, block.after = size, rest
        return rest

    def _release(self, block: _Block) -> None:
        block.free = True
        insort(self._free[block.small], block.order)
        self._blocks[block.order] = block

    def _remove(self, block: _Block) -> None:
        block.free = False
        free = self._free[block.small]
        del free[bisect_left(free, block.order)]
        del self._blocks[block.order]


def _joined(first: _Block, second: _Block) -> _Block:
    first.size += second.size
    first.after = second.after
    if second.after is not None:
        second.after.before = first
    return first


def simulate(events: Iterable[Event]) -> Reserved:
    """The peaks over a trace, which begins with weights where they are to be counted."""
    allocator, held = Allocator(), dict[int, _Block]()
    live = most = allocated = 0
    for event in events:
        live += event.bytes
        if event.bytes > 0:
            held[event.tensor] = allocator.take(event.bytes)
        elif event.bytes < 0:
            allocator.give(held.pop(event.tensor))
        most, allocated = max(most, live), max(allocated, allocator.allocated)
    return Reserved(most, allocated, allocator.reserved)
