"""Memory over time: the bytes that are alive while each operation runs at inference, in the order of the schedule.

The rules are those of `mmspec.cost.memory`, whose figure is the highest moment here. Blocks of a stack, of which that figure looks
at one, are gone through one by one. Stacks are computed to their end, experts with every token choosing the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mmspec.cost.flops import Sizes
from mmspec.cost.memory import WEIGHTS, _bytes, _during, _storages, peak_activations
from mmspec.ir import PRIMITIVES, Graph, Op


@dataclass(frozen=True)
class Moment:
    """One operation at work: `alive` bytes beside weights and inputs, what it makes and needs for itself included. `path` is its
    module's (`image.blocks.3.attention.query`), or that of its scope and the name of what it makes."""

    path: str
    kind: str
    alive: int
    phase: str = ""  # of a training step: "forward", "backward", "recomputation", "optimizer"


@dataclass(frozen=True)
class Held:
    """Bytes that are alive at the peak, and whose they are: what the module of that path made."""

    path: str
    bytes: int


@dataclass(frozen=True)
class Timeline:
    moments: tuple[Moment, ...]
    held: tuple[Held, ...]  # at the highest moment, the largest first

    @property
    def peak(self) -> Moment | None:
        """The first of the highest moments; None of a graph that computes nothing."""
        return max(self.moments, key=lambda moment: moment.alive, default=None)

    def peaks(self) -> dict[str, int]:
        """By the model's direct parts, the most that is alive while they run."""
        most: dict[str, int] = {}
        for moment in self.moments:
            part = moment.path.partition(".")[0]
            most[part] = max(most.get(part, 0), moment.alive)
        return most


def timeline(graph: Graph, sizes: Sizes) -> Timeline:
    """Of a whole graph, with all symbols bound."""
    walk = _Walk(sizes)
    walk.through(graph, "")
    return Timeline(tuple(walk.moments), walk.held)


@dataclass
class _Walk:
    sizes: Sizes
    moments: list[Moment] = field(default_factory=list)
    around: list[Mapping[str, int]] = field(default_factory=list)  # of each scope that is entered, what is alive in it
    base: int = 0  # the sum of that
    held: tuple[Held, ...] = ()
    most: int = 0

    def through(self, graph: Graph, path: str) -> None:
        """The operations of a scope; what lives in it is gone after it, and what it returns belongs to its caller."""
        owner, last = _storages(graph)
        names = {id(value): _path(path, op, index) for op in graph.ops for index, value in enumerate(op.outputs)}
        alive: dict[str, int] = {}
        size: dict[int, int] = {}
        start = self.base
        self.around.append(alive)
        for index, op in enumerate(graph.ops):
            dying = {
                place for value in op.inputs if (place := owner.get(id(value))) is not None and last[place] == index
            }
            self.at(op, _path(path, op), sum(size[place] for place in dying))
            for value in op.outputs:
                if owner.get(id(value)) == id(value) and id(value) in last:
                    size[id(value)] = self.sizes.bytes(value)
                    alive[names[id(value)]] = alive.get(names[id(value)], 0) + size[id(value)]
                    self.base += size[id(value)]
            for place in dying:
                alive[names[place]] -= size[place]
                self.base -= size[place]
        self.around.pop()
        self.base = start

    def at(self, op: Op, path: str, freed: int) -> None:
        """One operation, or all that it holds. `freed`: bytes of inputs that nobody reads after it."""
        if op.kind in WEIGHTS:
            return
        before = len(self.moments)
        if op.kind == "call":
            self.through(op.bodies[0], f"{path}.")
        elif op.kind in ("repeat", "stages"):
            self._stack(op, path, freed)
        elif op.kind == "loop":
            beside = _bytes(op.outputs, self.sizes) + self.sizes.bytes(op.outputs[0])
            for number in range(op.attributes["count"]):
                self._inside(op.bodies[0], f"{path}.{number}.", path, beside)
        needed = _during(op, self.sizes, freed)
        seen = max((moment.alive for moment in self.moments[before:]), default=-1)
        if self.base + needed > seen and (needed or not PRIMITIVES[op.kind].is_view(op)):
            self._moment(path, op.kind, {path: needed})

    def _stack(self, op: Op, path: str, freed: int) -> None:
        """Block after block. Where blocks differ, the figure takes the most that can be carried for each of them."""
        number, order = op.attributes["carried"], op.attributes["order"]
        carried = max(_bytes(op.outputs[:number], self.sizes), _bytes(op.bodies[0].inputs[:number], self.sizes))
        between = carried - (min(freed, carried) if op.kind == "repeat" else 0)
        taps = [tap for tap in op.attributes.get("taps", ()) if tap < len(order) - 1]
        given = zip(op.attributes.get("given", ()), op.inputs, strict=False)
        asked = [(name, value) for name, value in given if value.function is not None]
        answers = carried + sum(peak_activations(value.function, self.sizes) for _, value in asked if value.function)
        seen: dict[tuple[int, int], tuple[str, slice]] = {}  # blocks like others before: no moment of theirs is higher
        for index, which in enumerate(order):
            beside = between * (index > 0) + carried * sum(tap <= index for tap in taps)
            if len(op.bodies) > 1:
                beside = between + carried * len(taps)
            inside, start = f"{path}.{index}.", len(self.moments)
            if (which, beside) in seen:
                other, where = seen[which, beside]
                self.moments += [replace(each, path=inside + each.path[len(other) :]) for each in self.moments[where]]
            else:
                self._inside(op.bodies[which], inside, path, beside)
                if all(each.path.startswith(inside) for each in self.moments[start:]):
                    seen[which, beside] = inside, slice(start, len(self.moments))
            for name, value in asked:  # a head is a node of its own, what else is asked belongs to the stack
                whose = value.name if name == "head" else f"{path}.{index}.{name}"
                self._moment(whose, "exit", {path: beside + answers})

    def _inside(self, graph: Graph, path: str, owner: str, beside: int) -> None:
        """A body, with so many bytes of what holds it beside."""
        self.around.append({owner: beside})
        self.base += beside
        self.through(graph, path)
        self.base -= beside
        self.around.pop()

    def _moment(self, path: str, kind: str, needed: Mapping[str, int]) -> None:
        alive = self.base + sum(needed.values())
        self.moments.append(Moment(path, kind, alive))
        if alive > self.most:
            self.most = alive
            sums: dict[str, int] = {}
            for part in (*self.around, needed):
                for name, size in part.items():
                    sums[name] = sums.get(name, 0) + size
            ordered = sorted(sums.items(), key=lambda item: -item[1])
            self.held = tuple(Held(name, size) for name, size in ordered if size)


def _path(scope: str, op: Op, output: int = 0) -> str:
    """What an operation makes is named after its module; where it has none, after its value."""
    return f"{scope}{op.name or op.outputs[output].name}"
