"""The intermediate graph: what a spec means, before anyone runs, prices or draws it.

A `Graph` is a function: inputs, operations in the order in which they may run, named outputs. Four kinds of operation hold
graphs of their own: `call` (a nested scope), `repeat` (one block, N times), `stages` (a stack that may stop early) and
`experts` (copies of one subgraph, a few of which each token meets); `define` names a graph that others are handed and apply
(a head at every exit).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmspec.ir.dims import Dim, Shape
from mmspec.ir.found import found_once

if TYPE_CHECKING:
    from mmspec.ir.scope import Scope

DTYPE_BYTES = {"f32": 4, "i64": 8, "bool": 1, "function": 0}


@dataclass(frozen=True)
class Init:
    """How a parameter starts: `zeros`, `ones`, `constant` (scale: the value), `normal` (scale: standard deviation),
    `xavier_uniform` (scale: gain), or the name of a table of `backend.runtime.tables` and its arguments."""

    kind: str
    scale: float = 1.0
    arguments: tuple[Any, ...] = ()

    def __str__(self) -> str:
        if self.arguments:
            return f"{self.kind}({', '.join(map(str, self.arguments))})"
        return self.kind if self.kind in ("zeros", "ones") else f"{self.kind}({self.scale:g})"


@dataclass(frozen=True)
class Parameter:
    """One trained tensor of an operation, or of all the copies that the operation's scope is repeated to."""

    name: str
    shape: tuple[int, ...]
    init: Init
    trainable: bool = True
    buffer: str = ""  # its dtype, where it is kept with the weights and not trained: statistics of a batch norm
    grid: tuple[int, ...] | None = None  # of a table of places: how many first rows stand nowhere, then its sides

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(eq=False, slots=True)
class Value:
    """What flows along an edge: a tensor of `shape` and `dtype`, or a function (a graph that is handed over).

    `mask` is the bool[B, N] value that says which tokens are present; None where all are. Arithmetic on values emits
    operations into the scope that they belong to.
    """

    name: str
    shape: Shape
    dtype: str
    scope: Scope = field(repr=False)
    mask: Value | None = field(default=None, repr=False)
    function: Graph | None = field(default=None, repr=False)  # what a value of dtype "function" applies
    bound: int = 0  # ids of an i64 value are below it
    optional: bool = False  # an input that a caller may leave out
    rate: int = 0  # samples of a sound per second

    @property
    def width(self) -> int:
        """Channels, D of [B, N, D] or [B, D]."""
        width = self.shape[-1]
        assert isinstance(width, int), f"{self.name} has no fixed width: {self.shape}"
        return width

    @property
    def tokens(self) -> Dim:
        """N of [B, N, D]."""
        return self.shape[1]

    def named(self, name: str) -> Value:
        """The same value under a name that a reader of the printed program understands."""
        self.name = name
        return self

    def _with(self, kind: str, other: Value | float) -> Value:
        if isinstance(other, Value):
            return self.scope.emit(kind, self, other)
        return self.scope.emit(kind, self, scalar=other)

    def __add__(self, other: Value | float) -> Value:
        return self._with("add", other)

    def __sub__(self, other: Value | float) -> Value:
        return self._with("subtract", other)

    def __mul__(self, other: Value | float) -> Value:
        return self._with("multiply", other)

    def __rsub__(self, other: float) -> Value:
        return self._with("subtract_from", other)

    __radd__ = __add__
    __rmul__ = __mul__


@dataclass(frozen=True, eq=False, slots=True)
class Op:
    """One operation. `name` is its module's name where it has parameters or graphs of its own, else empty."""

    kind: str
    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Any]
    parameters: tuple[Parameter, ...] = ()
    bodies: tuple[Graph, ...] = ()


@dataclass(frozen=True, eq=False)
class Graph:
    """A function from inputs to named outputs.

    `name` is the class name of its module, `doc` one line on what it computes and where the spec asks for it, `notes` what
    the compiler did unasked (an inserted projection).
    """

    name: str
    inputs: tuple[Value, ...]
    ops: tuple[Op, ...]
    outputs: Mapping[str, Value]
    doc: str = ""
    notes: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)  # what sets this scope apart from others of its class
    limits: Mapping[str, int] = field(default_factory=dict)  # the largest size of each symbol: the length of a text
    training: frozenset[str] = frozenset()  # outputs that exist in training only
    whole: bool = False  # a whole model, whose module answers with a dict by name
    found: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)  # what is known of it (`ir.found`)

    def __getstate__(self) -> dict[str, Any]:
        """A copy is asked anew."""
        return {**self.__dict__, "found": {}}

    def __str__(self) -> str:
        from mmspec.ir.printing import text

        return text(self)


@dataclass(frozen=True)
class Placed:
    """A parameter of the built module: its full path and where it comes from."""

    path: str
    parameter: Parameter


def copies(op: Op) -> tuple[Graph, ...]:
    """The graph of each module that belongs to the operation: of each block of a stack, of each expert."""
    if not op.bodies:
        return ()
    if op.kind in ("repeat", "stages", "experts"):
        return tuple(op.bodies[index] for index in op.attributes["order"])
    if op.kind == "functions":
        return op.bodies * int(op.attributes["count"])
    return () if "shares" in op.attributes else op.bodies


def owned(op: Op) -> tuple[tuple[Graph, int], ...]:
    """The operation's graphs, each once, with how many of its modules they are."""
    if not op.bodies:
        return ()
    if op.kind in ("repeat", "stages", "experts"):
        return tuple((body, op.attributes["order"].count(index)) for index, body in enumerate(op.bodies))
    if op.kind == "functions":
        return ((op.bodies[0], int(op.attributes["count"])),)
    return () if "shares" in op.attributes else tuple((body, 1) for body in op.bodies)


def parameters(graph: Graph, path: str = "") -> Iterator[Placed]:
    """Every parameter of the module built from `graph`, in order, one for each copy."""
    for op in graph.ops:
        for parameter in op.parameters:
            yield Placed(path + _place(op, parameter), parameter)
        for index, body in enumerate(copies(op)):
            place = f"{op.name}." if op.kind in ("call", "define") else f"{op.name}.{index}."
            yield from parameters(body, path + place)


def _place(op: Op, parameter: Parameter) -> str:
    """A bare parameter is an attribute of its scope, joined layers keep their names; others are their own module's."""
    if op.kind == "parameter":
        return op.name
    return parameter.name if op.kind == "projections" else f"{op.name}.{parameter.name}"


def operations(graph: Graph, kind: str, path: str = "") -> Iterator[tuple[str, Op]]:
    """Every operation of a kind by its path in the module built from `graph`, one for each copy."""
    for op in graph.ops:
        if op.kind == kind:
            yield path + op.name, op
        for index, body in enumerate(copies(op)):
            place = f"{op.name}." if op.kind in ("call", "define") else f"{op.name}.{index}."
            yield from operations(body, kind, path + place)


def own_parameters(op: Op) -> int:
    """Parameters of the operation itself; those of an opaque module as declared, 0 where they are not."""
    return sum(p.size for p in op.parameters if not p.buffer) + (op.attributes.get("numbers") or 0)


def own_trained(op: Op) -> int:
    """Those of them that are trained."""
    declared = (op.attributes.get("numbers") or 0) if op.attributes.get("trained") else 0
    return sum(p.size for p in op.parameters if p.trainable) + declared


def learns(op: Op) -> bool:
    """Whether the operation itself is trained; what is not known of an opaque module is taken to be."""
    return any(p.trainable for p in op.parameters) or (
        op.kind == "opaque" and op.attributes["trained"] and op.attributes["numbers"] != 0
    )


@found_once
def parameter_count(graph: Graph) -> int:
    """Parameters of the module built from `graph`; a block of a stack is counted once and multiplied."""
    return sum(own_parameters(op) + sum(count * parameter_count(body) for body, count in owned(op)) for op in graph.ops)
