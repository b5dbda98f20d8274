"""What is found out about a graph stays with it: a graph never changes, so that one which is met again is not walked again.

    @found_once
    def parameter_count(graph: Graph) -> int:

It goes when the graph goes. Of one graph the last few findings stay, as for many batch sizes there would be many.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from mmspec.ir.graph import Graph

LIMIT = 32  # findings about one graph

T = TypeVar("T")


def found_once(function: Callable[[Graph], T]) -> Callable[[Graph], T]:
    """A function of a graph alone, whose result nobody changes."""
    key = f"{function.__module__}.{function.__qualname__}"

    @wraps(function)
    def found(graph: Graph) -> T:
        known: T | None = graph.found.get(key)
        return keep(graph, key, function(graph)) if known is None else known

    return found


def keep(graph: Graph, key: Hashable, value: T) -> T:
    found: dict[Any, Any] = graph.found
    if len(found) >= LIMIT:
        found.pop(next(iter(found)), None)
    found[key] = value
    return value
