"""How long each node of a model takes, by a clock at its beginning and its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from mmspec.ir import Graph


@dataclass
class Clock:
    """Seconds by node of the run that is going on. A node that another one calls (a head at its exits) is the other's."""

    seconds: dict[str, float] = field(default_factory=dict)
    inside: str = ""
    began: float = 0.0


def nodes_of(graph: Graph) -> list[str]:
    """The modules of nodes, each once: one that shares another's weights is that other's module."""
    return list(dict.fromkeys(str(op.attributes.get("shares", op.name)) for op in graph.ops if op.kind == "call"))


@contextmanager
def clocked(model: nn.Module, names: Sequence[str], wait: Callable[[], None]) -> Iterator[Clock]:
    clock = Clock()

    def enter(name: str) -> Any:
        def hook(*_: Any) -> None:
            if not clock.inside:
                wait()
                clock.inside, clock.began = name, time.perf_counter()

        return hook

    def leave(name: str) -> Any:
        def hook(*_: Any) -> None:
            if clock.inside == name:
                wait()
                clock.seconds[name] = clock.seconds.get(name, 0.0) + time.perf_counter() - clock.began
                clock.inside = ""

        return hook

    hooks = []
    for name in names:
        module = model.get_submodule(name)
        hooks += [module.register_forward_pre_hook(enter(name)), module.register_forward_hook(leave(name))]
    try:
        yield clock
    finally:
        for each in hooks:
            each.remove()


@dataclass(frozen=True)
class NodeTimes:
    """The fastest run with clocks: seconds by node, `between` them, and of the whole run, of which they are the sum."""

    nodes: dict[str, float]
    total: float

    @property
    def between(self) -> float:
        return self.total - sum(self.nodes.values())


class NodeClock:
    """Runs a model with clocks at its nodes, and keeps the fastest such run."""

    def __init__(
        self, model: nn.Module, names: Sequence[str], run: Callable[[], Any], wait: Callable[[], None] = lambda: None
    ) -> None:
        self.model, self.names, self.run, self.wait = model, names, run, wait
        self.best: NodeTimes | None = None

    def __call__(self) -> None:
        with clocked(self.model, self.names, self.wait) as clock:
            clock.seconds = dict.fromkeys(self.names, 0.0)
            self.wait()
            began = time.perf_counter()
            self.run()
            self.wait()
            total = time.perf_counter() - began
        if self.best is None or total < self.best.total:
            self.best = NodeTimes(clock.seconds, total)
