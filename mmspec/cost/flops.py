"""Forward FLOPs of a graph: 2 for each multiply-add of linear layers, convolutions and attention products.

Counted with every exit computed and every token sent to its k experts. A block of a stack is walked once and multiplied, so
that depth costs nothing to price.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from itertools import accumulate
from typing import TypeVar

from mmspec.ir import PRIMITIVES, Dim, Graph, Op, Shape, Value, bind, product
from mmspec.ir.found import keep
from mmspec.ir.graph import DTYPE_BYTES, copies, owned


class Sizes:
    """Shapes of values, and their bytes, with the symbols bound that `sizes` names; the others stay symbols.

    A network has few shapes and many values of each: every shape is bound once. `floats`: bytes of a number.
    """

    def __init__(self, sizes: Mapping[str, int], floats: int = DTYPE_BYTES["f32"]) -> None:
        self.sizes, self.floats = sizes, floats
        self.key = (tuple(sorted(sizes.items())), floats)
        self._shapes: dict[Shape, tuple[Shape, Dim]] = {}
        self._seen: dict[int, tuple[Shape, Shape, Dim]] = {}  # by identity of the shape, which is kept with it

    def __call__(self, value: Value) -> Shape:
        known = self._seen.get(id(value.shape)) or self._bound(value.shape)
        return known[1]

    def _bound(self, shape: Shape) -> tuple[Shape, Shape, Dim]:
        """The shape, what it is bound to, and the number of its elements."""
        found = self._shapes.get(shape)
        if found is None:
            bound = tuple(bind(dim, self.sizes) for dim in shape)
            found = self._shapes[shape] = bound, product(bound)
        known = self._seen[id(shape)] = shape, *found
        return known

    def of(self, op: Op) -> Sizes:
        """The sizes that this operation sees."""
        return self

    def bytes(self, value: Value) -> int:
        _, _, elements = self._seen.get(id(value.shape)) or self._bound(value.shape)
        assert isinstance(elements, int), f"{elements} is not bound"
        return elements * self.width(value)

    def width(self, value: Value) -> int:
        """Bytes of one of its entries."""
        return self.floats if value.dtype == "f32" else DTYPE_BYTES[value.dtype]


T = TypeVar("T")


def at_sizes(function: Callable[[Graph, Sizes], T]) -> Callable[[Graph, Sizes], T]:
    """A function that depends on nothing but a graph and its sizes, computed once for both; nobody changes what it gives."""
    name = f"{function.__module__}.{function.__qualname__}"

    @wraps(function)
    def found(graph: Graph, sizes: Sizes) -> T:
        if type(sizes) is not Sizes:  # sizes that operations see each their own
            return function(graph, sizes)
        key = name, sizes.key
        known: T | None = graph.found.get(key)
        return keep(graph, key, function(graph, sizes)) if known is None else known

    return found


@dataclass
class Flops:
    """`own`: what a graph computes itself. `heads`: what it spends on heads that it was handed, by name. `exits`: for a
    graph with a halting stack, the same for a sample that leaves at each exit. `branches`: of everything sent through each of a
    router's networks, where they differ, `met` of which a sample meets; `own` has the costliest."""

    own: Dim = 0
    heads: Counter[str] = field(default_factory=Counter)
    exits: list[Flops] = field(default_factory=list)
    branches: list[Dim] = field(default_factory=list)
    met: int = 0

    @property
    def total(self) -> Dim:
        return self.own + sum(self.heads.values())


NO_HEADS: Counter[str] = Counter()


@at_sizes
def flops(graph: Graph, sizes: Sizes) -> Flops:
    result = Flops()
    stacks: list[Flops] = []
    for op in graph.ops:
        part = op_flops(op, sizes)
        result.own = result.own + part.own
        if part.heads:
            result.heads += part.heads
        if part.exits:
            stacks.append(part)
        if part.branches:
            assert not result.branches, "a node has at most one choice among networks that differ"
            result.branches, result.met = part.branches, part.met
    if stacks:
        assert len(stacks) == 1, "a node has at most one halting stack"
        around = result.own - stacks[0].own
        result.exits = [Flops(around + spent.own, spent.heads) for spent in stacks[0].exits]
    return result


def op_flops(op: Op, sizes: Sizes) -> Flops:
    if op.kind == "call":
        return flops(op.bodies[0], sizes)
    if op.kind == "define":  # run by whom it is handed to
        return Flops()
    if op.kind == "repeat":
        return Flops(sum(count * flops(body, sizes).own for body, count in owned(op)), NO_HEADS)
    if op.kind == "loop":
        block = flops(op.bodies[0], sizes).own
        exits = [Flops(block * number, NO_HEADS) for number in range(1, op.attributes["count"] + 1)]
        return Flops(exits[-1].own, NO_HEADS, exits)
    if op.kind == "experts":
        return _experts(op, sizes)
    if op.kind == "stages":
        return _stages(op, sizes)
    return Flops(PRIMITIVES[op.kind].flops(op, sizes), NO_HEADS)


def _experts(op: Op, sizes: Sizes) -> Flops:
    """The only body's shapes are those of all that is sent to all experts; of several bodies, the costliest are chosen."""
    if len(op.bodies) == 1:
        return flops(op.bodies[0], sizes)
    branches = [flops(body, sizes).own for body in copies(op)]
    met = op.attributes["met"]
    return Flops(sum(sorted(branches, key=bind_all)[-met:]), NO_HEADS, branches=branches, met=met)


def bind_all(dim: Dim, size: int = 64) -> int:
    """The number with every symbol of that size: to compare what symbols leave open."""
    if isinstance(dim, int):
        return dim
    bound = bind(dim, {name: size for monomial in dim.terms for name, _ in monomial})
    assert isinstance(bound, int)
    return bound


def _stages(op: Op, sizes: Sizes) -> Flops:
    """What blocks, halting units and own heads of exits cost is the stack's; what is spent on the head is the head's."""
    given = dict(zip(op.attributes["given"], op.inputs, strict=False))
    cost = {name: flops(value.function, sizes).own for name, value in given.items() if value.function is not None}
    assert not cost.get("readout"), "what heads see is read out without matrix products"
    blocks = [flops(body, sizes).own for body in op.bodies]
    through = list(accumulate((blocks[index] for index in op.attributes["order"]), initial=0))
    after = op.attributes.get("after") or range(1, op.attributes["count"])
    exits = []
    for number, end in enumerate((*after, op.attributes["count"]), 1):
        last, asked = number > len(after), number
        own = through[end] + min(number, len(after)) * cost.get("unit", 0)
        if "heads" in given:
            own, asked = own + min(number, len(after)) * cost["heads"], int(last)
        heads = Counter({given["head"].name: asked * cost["head"]}) if "head" in given else NO_HEADS
        exits.append(Flops(own, heads))
    return Flops(exits[-1].own, exits[-1].heads, exits)
