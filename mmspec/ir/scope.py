"""A scope: where a component writes its operations down.

    def emit(self, g: Scope, x: Value) -> Value:
        return x + g.linear("output", gelu(g.linear("up", x, 4 * x.width)), x.width)

A scope becomes one module. Values belong to the scope that made them; `call`, `stack` and `experts` open nested scopes and
hand values in, with their masks. What a nested scope does not use is not handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mmspec.ir.dims import Dim, Shape, bind
from mmspec.ir.graph import Graph, Op, Parameter, Value
from mmspec.ir.layers import Layers
from mmspec.ir.primitives import PRIMITIVES

if TYPE_CHECKING:
    from mmspec.ir.calls import Closed
    from mmspec.ir.stacks import Halting, Readout

Results = Value | tuple[Value, ...] | Mapping[str, Value]
Body = Callable[..., Results]


def _no_input(name: str) -> Value:
    raise AssertionError(f"there is no input {name!r} here")


def _unheard(text: str) -> None:
    """Nobody listens."""


@dataclass
class Program:
    """What the scopes of one lowering share."""

    define_head: Callable[[str, Value], Value]  # the head of that name as a function of such a value, in the root scope
    port_read: Callable[[str], str] = str  # the part of a node that the head of that name reads, "" for all of it
    model_input: Callable[[str], Value] = _no_input  # what the model reads, in the root scope
    note: Callable[[str], None] = _unheard  # say what the compiler does unasked
    limits: dict[str, int] = field(default_factory=dict)  # the largest size of each symbol


class Scope(Layers):
    def __init__(
        self,
        name: str,
        parent: Scope | None = None,
        program: Program | None = None,
        path: str = "",
        trainable: bool = True,
    ) -> None:
        self.name = name
        self.parent = parent
        self._program = program
        self.path = path
        self.trainable: bool = trainable and (parent is None or parent.trainable)
        self.ops: list[Op] = []
        self.inputs: list[Value] = []
        self.balance: list[Value] = []  # auxiliary losses of routers, to be summed on the way out
        self.exits: dict[
            str, Value
        ] = {}  # what halting stacks found at their exits: "label", "label.exit", "label.exits"
        self.taps: dict[str, Value] = {}  # what may be read besides a node's own value: tokens after an inner block
        self._received: dict[int, Value] = {}  # by the identity of the outer value
        self.outer: dict[int, Value] = {}  # by the identity of the inner value
        self._names: set[str] = set()

    @property
    def program(self) -> Program | None:
        return self._program if self.parent is None else self.parent.program

    # values and operations ------------------------------------------------------------------------------------------

    def input(
        self, name: str, shape: Shape, dtype: str = "f32", bound: int = 0, rate: int = 0, optional: bool = False
    ) -> Value:
        """What a caller hands in; masks may be left out, and what is `optional`."""
        optional = optional or dtype == "bool"
        value = Value(name, shape, dtype, self, bound=bound, rate=rate, optional=optional)
        self.inputs.append(value)
        return value

    def emit(self, kind: str, *inputs: Value, name: str = "", **attributes: Any) -> Value:
        """Append one primitive operation and return its output.   Raises ShapeError."""
        for value in inputs:
            assert value.scope is self, f"{kind} mixes values of several scopes"
        primitive = PRIMITIVES[kind]
        shape, dtype = primitive.infer(*inputs, **attributes)
        mask = primitive.mask(*inputs, **attributes)
        parameters = primitive.parameters(*inputs, **attributes)
        if not self.trainable:
            parameters = tuple(replace(p, trainable=False) for p in parameters)
        value = Value(name or kind, shape, dtype, self, mask)
        self.append(kind, name, inputs, (value,), attributes, parameters)
        return value

    def append(
        self,
        kind: str,
        name: str,
        inputs: Sequence[Value],
        outputs: Sequence[Value],
        attributes: Mapping[str, Any],
        parameters: tuple[Parameter, ...] = (),
        bodies: tuple[Graph, ...] = (),
    ) -> None:
        if name:
            assert name not in self._names, f"two modules named {name} in {self.name}"
            self._names.add(name)
        self.ops.append(Op(kind, name, tuple(inputs), tuple(outputs), attributes, parameters, bodies))

    def limit(self, dim: Dim) -> int:
        """The largest that a size can be."""
        program = self.program
        largest = bind(dim, program.limits if program else {})
        assert isinstance(largest, int), f"{dim} has no limit"
        return largest

    def note(self, text: str) -> None:
        """Say what the compiler does unasked."""
        if (program := self.program) is not None:
            program.note(text)

    def opaque(
        self,
        name: str,
        module: str,
        *inputs: Value,
        shape: Shape,
        dtype: str = "f32",
        arguments: Mapping[str, Any] | None = None,
        flops: Dim | None = None,
        parameters: int | None = None,
        held: Dim | None = None,
    ) -> Value:
        """What a torch module answers that somebody else wrote, `package.module:Class(**arguments)`; it is imported when the model
        is built. What is declared of it is believed (`check_component` and `--exact` look); what is not, is not known.

        flops   forward, 2 per multiply-add;   held: the most bytes inside, beside inputs and answer
        Raises  ShapeError: no import path
        """
        return self.emit(
            "opaque", *inputs, name=name, module=module, arguments=tuple((arguments or {}).items()), shape=tuple(shape),
            dtype=dtype, flops=flops, numbers=parameters, held=held, trained=self.trainable,
        )  # fmt: skip

    # nested scopes --------------------------------------------------------------------------------------------------

    def inside(
        self, class_name: str, path: str, body: Body, values: Sequence[Value], trainable: bool = True, streams: int = 0,
        shapes: Sequence[Shape] = (),
    ) -> tuple[Scope, tuple[Value, ...], Results]:  # fmt: skip
        """A nested scope, what it is handed, and what `body` returns there. The first `streams` values are one argument; the first
        ones have other `shapes` there, where they are given."""
        inner = Scope(class_name, self, path=f"{self.path}{path}", trainable=trainable)
        handed = inner.receive_all(body, values, streams)
        for value, shape in zip(handed, shapes, strict=False):
            value.shape = shape
        arguments = (handed[:streams], *handed[streams:]) if streams else handed
        return inner, handed, body(inner, *arguments)

    def call(
        self,
        name: str,
        class_name: str,
        body: Body,
        *values: Value,
        doc: str = "",
        arguments: Mapping[str, Any] | None = None,
        trainable: bool = True,
        shares: str = "",
    ) -> Any:
        """Run `body(g, *values)` in a nested scope, which becomes the module `name`; returns what it returned, out here. What
        `shares` with another call, of the same body, has no module of its own."""
        closed, received = self.closed(name, class_name, body, values, doc, arguments, trainable)
        return self.place(name, closed, received, shares)

    def closed(
        self,
        name: str,
        class_name: str,
        body: Body,
        values: Sequence[Value],
        doc: str = "",
        arguments: Mapping[str, Any] | None = None,
        trainable: bool = True,
    ) -> tuple[Closed, tuple[Value, ...]]:
        """The nested scope of a call before it has its place, and the values out here that it received."""
        from mmspec.ir.calls import closed

        inner, _, results = self.inside(class_name, f"{name}.", body, values, trainable)
        return closed(inner, name, results, doc, arguments)

    def place(self, name: str, closed: Closed, received: Sequence[Value], shares: str = "") -> Any:
        """Call a finished scope as the module `name`, with what it receives here."""
        from mmspec.ir.calls import place

        return place(self, name, closed, received, shares)

    def define(
        self,
        name: str,
        class_name: str,
        body: Body,
        *like: Value,
        doc: str = "",
        arguments: Mapping[str, Any] | None = None,
        trainable: bool = True,
        shares: str = "",
    ) -> Value:
        """The graph of `body` for values like these, as a function that can be handed on and applied."""
        inner, _, result = self.inside(class_name, f"{name}.", body, like, trainable)
        assert isinstance(result, Value)
        graph = inner.close({name: result}, doc, arguments)
        inner.let_go()
        return self.defined(name, graph, shares)

    def stack(
        self,
        name: str,
        depth: int,
        body: Body | Sequence[Body],
        carried: Value | tuple[Value, ...],
        *shared: Value,
        class_name: str,
        halting: Halting | None = None,
        readout: Readout | None = None,
        taps: Sequence[int] = (),
        narrows: bool = False,
        doc: str = "",
    ) -> Any:
        """`depth` blocks in a row. `body(g, carried, *shared)` is emitted once; it returns the carried value(s) for the next.

        Blocks of several kinds are a sequence of `depth` bodies, each kind emitted once. With a halting policy a sample may
        stop early: the policy's head is applied there, to the carried value or to `readout(g, *carried)`, which may return two
        values: what the stack returns in the carried value's place, and what heads see. `taps` are blocks, counted from one,
        whose result is returned beside the last one's; they need a single carried value and no halting. Where it `narrows`,
        blocks may carry on fewer tokens than they were handed, and those behind are emitted anew; a mask that changes on the way
        is a carried value, too.   Raises ShapeError.
        """
        from mmspec.ir.stacks import stack

        return stack(
            self, name, depth, body, carried, *shared, class_name=class_name, halting=halting, readout=readout, taps=taps,
            narrows=narrows, doc=doc,
        )  # fmt: skip

    def loop(
        self, name: str, steps: int, body: Body, x: Value, *shared: Value, class_name: str, epsilon: float, ponder: float,
        by_token: bool,
    ) -> Value:  # fmt: skip
        """One block, up to `steps` times, as long as each sample needs. `body(g, x, *shared)` returns x and how likely each token
        (f32[B, N]), or where not `by_token` the sample (f32[B, 1]), is to halt; the result is the mean of the states by these.
        [B, N, D] -> [B, N, D]"""
        from mmspec.ir.stacks import loop

        return loop(
            self, name, steps, body, x, *shared, class_name=class_name, epsilon=epsilon, ponder=ponder, by_token=by_token
        )  # fmt: skip

    def defined(self, name: str, graph: Graph, shares: str = "") -> Value:
        """A finished graph as a function that can be handed on."""
        value = Value(name, (), "function", self, function=graph)
        attributes = {"shares": shares} if shares else {}
        self.append("define", name, (), (value,), attributes, bodies=(graph,))
        return value

    def functions(self, name: str, graph: Graph, count: int) -> Value:
        """Functions like one that is known, each with weights of its own, as a list that can be handed on."""
        value = Value(name, (), "function", self, function=graph)
        self.append("functions", name, (), (value,), {"count": count}, bodies=(graph,))
        return value

    def experts(
        self,
        name: str,
        body: Body | Sequence[Body],
        choice: Value,
        *values: Value,
        count: int = 0,
        met: int = 0,
        sent: Dim | None = None,
        room: Dim | None = None,
        placement: tuple[int, ...] = (),
        class_names: Sequence[str] = (),
        arguments: Mapping[str, Any] | None = None,
    ) -> Value:
        """What the chosen networks answer: `count` copies of `body(g, *values)`, or one of each of several bodies.

        A choice i64[B, N, k] sends tokens, i64[B, k] whole samples; values of other leading sizes are the same for all. `sent` is
        how many rows are computed in all (k for each choice by default), `met` how many networks each of them meets (k); where a
        network has `room` for so many tokens of a sample, a choice may be no network's; `placement` is the device of each.
        Returns [B, N, k, D] or [B, k, N, D].   Raises ShapeError: answers of several shapes
        """
        from mmspec.ir.experts import experts

        return experts(
            self, name, [body] * count if callable(body) else list(body), choice, *values, met=met, sent=sent, room=room,
            placement=placement, class_names=class_names, arguments=arguments,
        )  # fmt: skip

    def loss(self, kind: str, *values: Value | None, **said: Any) -> None:
        """An auxiliary loss of a router, the module of its own name, to be summed on the way out; what is None is left out."""
        there = [value for value in values if value is not None]
        self.balance.append(self.emit(kind, *there, name=kind, **said))

    def function(self, head: str, like: Value) -> Value:
        """The head of that name as a function, handed down from the root scope."""
        if self.parent is None:
            assert self.program is not None
            return self.program.define_head(head, like)
        outer = self.parent.function(head, like)
        return self.receive(outer)

    def model_input(self, name: str) -> Value:
        """The model's input of that name, handed down from the root scope."""
        if self.parent is None:
            assert self.program is not None
            return self.program.model_input(name)
        return self.receive(self.parent.model_input(name))

    def port_read(self, head: str) -> str:
        """The part of this node that a head reads; "" where it reads all of it."""
        program = self.program
        assert program is not None
        return program.port_read(head)

    # the border -----------------------------------------------------------------------------------------------------

    def receive(self, outer: Value, name: str = "") -> Value:
        """The outer value inside this scope; the same one for the same value."""
        inner = self._received.get(id(outer))
        if inner is None:
            known: dict[str, Any] = {"function": outer.function, "bound": outer.bound, "rate": outer.rate}
            inner = Value(name or outer.name, outer.shape, outer.dtype, self, None, **known)
            self._received[id(outer)] = inner
            self.outer[id(inner)] = outer
            self.inputs.append(inner)
        return inner

    def receive_all(self, body: Body, values: Sequence[Value], streams: int = 0) -> tuple[Value, ...]:
        """Values under the names of the body's parameters, then their masks. The first `streams` values are one parameter
        of the body, a tuple, and keep their own names."""
        code = body.__code__
        named = [name for name in code.co_varnames[: code.co_argcount] if name != "self"][1:]
        names = [""] * streams + named[1 if streams else 0 :]
        handed = [self.receive(v, names[i] if i < len(names) else "") for i, v in enumerate(values)]
        for inner, outer in zip(handed, values, strict=True):
            if outer.mask is not None and inner.mask is None:
                inner.mask = self.receive(outer.mask, f"{inner.name}_mask")
        return tuple(handed)

    def read(self, *results: Value) -> tuple[Value, ...]:
        """The outer values that its operations and these results read."""
        read = {id(value) for op in self.ops for value in op.inputs} | {id(value) for value in results}
        return tuple(self.outer[id(value)] for value in self.inputs if id(value) in read)

    def let_go(self) -> None:
        """Of a scope that is finished: forget what is around it, so that its graph can outlive that, and what is in it, so that
        nothing is left of it when its graph is gone."""
        self.parent = None
        self.ops, self.inputs, self.balance, self.exits, self.taps = [], [], [], {}, {}
        self._received, self.outer = {}, {}

    def __contains__(self, value: Value) -> bool:
        """Whether the value came from outside."""
        return id(value) in self.outer

    def handed(self, graph: Graph) -> tuple[Value, ...]:
        """The outer values for the graph's inputs."""
        return tuple(self.outer[id(value)] for value in graph.inputs)

    def total_balance(self) -> Value:
        total = self.balance[0]
        for loss in self.balance[1:]:
            total = total + loss
        return total.named("balance")

    def close(
        self, outputs: Mapping[str, Value], doc: str, arguments: Mapping[str, Any] | None, keep: Sequence[Value] = ()
    ) -> Graph:
        """The finished graph; inputs that nothing uses are left out, except those in `keep`."""
        used = {id(value) for op in self.ops for value in op.inputs}
        used |= {id(value) for value in outputs.values()} | {id(value) for value in keep}
        inputs = tuple(value for value in self.inputs if id(value) in used)
        return Graph(self.name, inputs, tuple(self.ops), outputs, doc, arguments=arguments or {})
