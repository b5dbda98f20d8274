"""What was found out about one spec, kept for the next one that is chosen from it.

Specs of one family (what was loaded, and all that is chosen from it) share a memory. Whatever is kept there is a pure function of
its key, so that an answer from memory and one that is worked out are the same.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

LIMIT = 512  # at least so many of the things that were asked for last are kept, at most twice as many


class Same:
    """An object as part of a key: itself, and nothing that merely equals it. It lives as long as the key does."""

    __slots__ = ("it",)

    def __init__(self, it: object) -> None:
        self.it = it

    def __hash__(self) -> int:
        return id(self.it)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.it is other.it


class Memory:
    """What is asked for is moved to the young ones; when those are full, they become old, and what was old and not asked for since
    is gone. A copy, of another process too, begins empty."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._young: dict[Hashable, Any] = {}
        self._old: dict[Hashable, Any] = {}

    def get(self, key: Hashable) -> Any:
        """What was kept under the key; None where nothing was, or not any more."""
        value = self._young.get(key)
        if value is None and (value := self._old.get(key)) is not None:
            self.keep(key, value)
        return value

    def keep(self, key: Hashable, value: Any) -> None:
        if len(self._young) >= self.limit:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def clear(self) -> None:
        self._young, self._old = {}, {}

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def __reduce__(self) -> tuple[type[Memory], tuple[int]]:
        return Memory, (self.limit,)
