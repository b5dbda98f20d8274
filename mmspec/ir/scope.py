"""A scope: where a component writes its operations down.

    def emit(self, g: Scope, x: Value) -> Value:
        return x + g.linear("output", gelu(g.linear("up", x, 4 * x.width)), x.width)

A scope becomes one module. Values belong to the scope that made them; `call`, `stack` and `experts` open nested scopes and
hand values in, with their masks. What a nested scope does not use is not handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from mmspec.ir.dims import Dim, Shape, bind, product
from mmspec.ir.graph import Graph, Op, Parameter, Value
from mmspec.ir.layers import Layers
from mmspec.ir.primitives import PRIMITIVES, ShapeError, shape_text

Results = Value | tuple[Value, ...] | Mapping[str, Value]
Body = Callable[..., Results]


class Halting(Protocol):
    """What a stack asks of a halting policy."""

    @property
    def head(self) -> str: ...
    def attributes(self) -> Mapping[str, Any]: ...


@dataclass
class Program:
    """What the scopes of one lowering share."""

    define_head: Callable[[str, Value], Value]  # the head of that name as a function of such a value, in the root scope
    inputs: dict[str, Value] = field(default_factory=dict)  # what the model reads, in the root scope
    limits: dict[str, int] = field(default_factory=dict)  # the largest size of each symbol
    notes: list[str] = field(default_factory=list)


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
        self.program: Program | None = program if parent is None else parent.program
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
        self._outer: dict[int, Value] = {}  # by the identity of the inner value
        self._names: set[str] = set()

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
        assert all(value.scope is self for value in inputs), f"{kind} mixes values of several scopes"
        primitive = PRIMITIVES[kind]
        shape, dtype = primitive.infer(*inputs, **attributes)
        mask = primitive.mask(*inputs, **attributes)
        parameters = primitive.parameters(*inputs, **attributes)
        if not self.trainable:
            parameters = tuple(replace(p, trainable=False) for p in parameters)
        value = Value(name or kind, shape, dtype, self, mask)
        self._append(kind, name, inputs, (value,), attributes, parameters)
        return value

    def _append(
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
        largest = bind(dim, self.program.limits if self.program else {})
        assert isinstance(largest, int), f"{dim} has no limit"
        return largest

    def note(self, text: str) -> None:
        """Say what the compiler does unasked."""
        if self.program is not None:
            self.program.notes.append(text)

    # nested scopes --------------------------------------------------------------------------------------------------

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
        inner = Scope(class_name, self, path=f"{self.path}{name}.", trainable=trainable)
        results = body(inner, *inner.receive_all(body, values))
        named = _named(name, results)
        given = named | inner.taps
        outputs = dict(given)
        for port, value in given.items():
            if value.mask is not None and value.mask not in inner:
                outputs[f"{port}_mask"] = value.mask
        if inner.balance:
            outputs["balance"] = inner.total_balance()
        outputs |= inner.exits
        graph = inner.close(outputs, doc, arguments)

        outer = {port: Value(port, v.shape, v.dtype, self, bound=v.bound) for port, v in outputs.items()}
        for port, value in given.items():
            if value.mask is not None:
                mask = inner._outer.get(id(value.mask)) or outer[f"{port}_mask"]
                outer[port].mask = mask
        attributes = {"shares": shares} if shares else {}
        self._append("call", name, inner.handed(graph), tuple(outer.values()), attributes, bodies=(graph,))
        if inner.balance:
            self.balance.append(outer["balance"])
        self.exits |= {port: outer[port] for port in inner.exits}
        self.taps |= {port: outer[port] for port in inner.taps}
        if isinstance(results, Value):
            return outer[name]
        if isinstance(results, tuple):
            return tuple(outer[port] for port in named)
        return {port: outer[port or name] for port in results}

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
        inner = Scope(class_name, self, path=f"{self.path}{name}.", trainable=trainable)
        result = body(inner, *inner.receive_all(body, like))
        assert isinstance(result, Value)
        graph = inner.close({name: result}, doc, arguments)
        value = Value(name, (), "function", self, function=graph)
        attributes = {"shares": shares} if shares else {}
        self._append("define", name, (), (value,), attributes, bodies=(graph,))
        return value

    def stack(
        self,
        name: str,
        depth: int,
        body: Body | Sequence[Body],
        carried: Value | tuple[Value, ...],
        *shared: Value,
        class_name: str,
        halting: Halting | None = None,
        readout: Body | None = None,
        taps: Sequence[int] = (),
        doc: str = "",
        narrows: bool = False,
    ) -> Any:
        """`depth` blocks in a row. `body(g, carried, *shared)` is emitted once; it returns the carried value(s) for the next.

        Blocks of several kinds are a sequence of `depth` bodies, each kind emitted once. With a halting policy a sample may
        stop after any block: the policy's head is applied there, to the carried value or, where several are carried, to
        `readout(g, *carried)`. `taps` are blocks, counted from one, whose result is returned beside the last one's; they need a
        single carried value and no halting. Where it `narrows`, blocks may carry on fewer tokens than they were handed, and those
        behind are emitted anew; a mask that changes on the way is a carried value, too.   Raises ShapeError.
        """
        bodies = [body] * depth if callable(body) else list(body)
        assert len(bodies) == depth
        streams = (carried,) if isinstance(carried, Value) else carried
        shapes: tuple[Shape, ...] = tuple(value.shape for value in streams)
        blocks: list[_Block] = []
        kinds: dict[tuple[Body, tuple[Shape, ...]], int] = {}
        order = []
        for each in bodies:
            number = kinds.setdefault((each, shapes), len(blocks))
            if number == len(blocks):
                blocks.append(self._block(f"{name}.*.", each, carried, shared, class_name, shapes, narrows))
            order.append(number)
            shapes = blocks[number].shapes
        first, balance = blocks[0].scope, any(block.scope.balance for block in blocks)
        passed_on = [Value(v.name, shape, v.dtype, self, v.mask) for v, shape in zip(streams, shapes, strict=True)]
        for value in passed_on:
            if value.mask in streams:
                value.mask = passed_on[streams.index(value.mask)]
        loss = [Value("balance", (), "f32", self)] if balance else []
        attributes: dict[str, Any] = {
            "count": depth,
            "order": tuple(order),
            "carried": len(streams),
            "balance": balance,
        }
        tapped = [Value(f"block_{tap}", v.shape, v.dtype, self, v.mask) for tap in taps for v in streams]
        if taps:
            assert halting is None and isinstance(carried, Value)
            attributes["taps"] = tuple(taps)
        head, read, seen = self._exit(halting, streams, readout, first) if halting is not None else (None, (), [])
        # what any block reads is handed to all of them, in one order
        wanted = dict.fromkeys((*streams, *(value for block in blocks for value in block.used())))
        wanted |= dict.fromkeys(first._outer[id(value)] for value in seen)
        graphs = tuple(block.close(tuple(wanted), balance, doc) for block in blocks)
        if halting is None:
            self._append("repeat", name, tuple(wanted), (*passed_on, *tapped, *loss), attributes, bodies=graphs)
        else:
            assert head is not None and head.function is not None
            logits = next(iter(head.function.outputs.values()))
            found = {
                halting.head: Value(halting.head, logits.shape, logits.dtype, self),
                f"{halting.head}.exit": Value("exit", (logits.shape[0],), "i64", self),
                f"{halting.head}.exits": Value("exits", (depth, *logits.shape), logits.dtype, self),
            }
            self.exits |= found
            attributes |= halting.attributes()
            attributes |= {"head_inputs": tuple(map(graphs[0].inputs.index, seen)), "readout": bool(read)}
            outputs = (*passed_on, *found.values(), *loss)
            self._append("stages", name, (head, *read, *wanted), outputs, attributes, bodies=graphs)
        self.balance += loss
        if taps:
            return passed_on[0], *tapped
        return passed_on[0] if isinstance(carried, Value) else tuple(passed_on)

    def _block(
        self, path: str, body: Body, carried: Value | tuple[Value, ...], shared: tuple[Value, ...], class_name: str,
        shapes: tuple[Shape, ...], narrows: bool,
    ) -> _Block:  # fmt: skip
        inner = Scope(class_name, self, path=f"{self.path}{path}")
        streams = (carried,) if isinstance(carried, Value) else carried
        handed = inner.receive_all(body, (*streams, *shared), 0 if isinstance(carried, Value) else len(streams))
        for value, shape in zip(handed, shapes, strict=False):
            value.shape = shape
        if isinstance(carried, Value):
            returned = body(inner, *handed)
        else:
            returned = body(inner, handed[: len(streams)], *handed[len(streams) :])
        results: tuple[Value, ...] = (returned,) if isinstance(returned, Value) else tuple(returned)  # type: ignore[arg-type]
        after = tuple(result.shape for result in results)
        for before, now in zip(shapes, after, strict=True):
            if before != now and not narrows:
                raise ShapeError(f"a block turns {shape_text(before)} into {shape_text(now)}")
        assert not inner.exits, "a halting stack inside a repeated block"
        outputs = {value.name: result for value, result in zip(handed, results, strict=False)}
        return _Block(inner, outputs, after)

    def _exit(
        self, halting: Halting, streams: tuple[Value, ...], readout: Body | None, inner: Scope
    ) -> tuple[Value, tuple[Value, ...], list[Value]]:
        """The head as a function, the readout as one (or none), and which of the block's inputs they look at."""
        if readout is None:
            assert len(streams) == 1, "several carried values need a readout"
            head = self.function(halting.head, streams[0])
            candidates = [streams[0], *([streams[0].mask] if streams[0].mask is not None else [])]
            assert head.function is not None
            return head, (), [inner.receive(value) for value in candidates[: len(head.function.inputs)]]
        trial = Scope("Readout", self)
        value = readout(trial, *trial.receive_all(readout, streams))
        assert isinstance(value, Value)
        head = self.function(halting.head, value)
        assert head.function is not None
        outputs = {"joint": value}
        if len(head.function.inputs) > 1 and value.mask is not None:
            outputs["mask"] = value.mask
        graph = trial.close(outputs, "What a head sees at an exit: the streams in a row.", None)
        read = Value("readout", (), "function", self, function=graph)
        self._append("define", "readout", (), (read,), {}, bodies=(graph,))
        return head, (read,), [inner.receive(value) for value in trial.handed(graph)]

    def experts(
        self,
        name: str,
        count: int,
        body: Body,
        x: Value,
        logits: Value,
        *,
        k: int,
        balance: float,
        normalise: bool = True,
        capacity: int | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> Value:
        """Copies of `body` (tokens [T, D] -> [T, D]); each token goes to the `k` that its logits [B, N, count] favour, as far as
        they have the capacity, and weighs their answers by its probabilities, normalised to a sum of 1 or not."""
        inner = Scope("Expert", self, path=f"{self.path}{name}.*.")
        rows = product(x.shape[:-1]) * k
        result = body(inner, inner.input("x", (rows, x.width)))
        assert isinstance(result, Value)
        graph = inner.close({"y": result}, "", arguments)
        y = Value(name, (*x.shape[:-1], result.width), x.dtype, self, x.mask)
        loss = Value("balance", (), "f32", self)
        inputs = (x, logits) if x.mask is None else (x, logits, x.mask)
        attributes: dict[str, Any] = {"count": count, "k": k, "balance": balance}
        attributes |= {} if normalise else {"normalise": False}
        attributes |= {} if capacity is None else {"capacity": capacity}
        self._append("experts", name, inputs, (y, loss), attributes, bodies=(graph,))
        if balance:
            self.balance.append(loss)
        return y

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
            return self.program.inputs[name]
        return self.receive(self.parent.model_input(name))

    # the border -----------------------------------------------------------------------------------------------------

    def receive(self, outer: Value, name: str = "") -> Value:
        """The outer value inside this scope; the same one for the same value."""
        inner = self._received.get(id(outer))
        if inner is None:
            known: dict[str, Any] = {"function": outer.function, "bound": outer.bound, "rate": outer.rate}
            inner = Value(name or outer.name, outer.shape, outer.dtype, self, None, **known)
            self._received[id(outer)] = inner
            self._outer[id(inner)] = outer
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

    def __contains__(self, value: Value) -> bool:
        """Whether the value came from outside."""
        return id(value) in self._outer

    def handed(self, graph: Graph) -> tuple[Value, ...]:
        """The outer values for the graph's inputs."""
        return tuple(self._outer[id(value)] for value in graph.inputs)

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


@dataclass
class _Block:
    """One kind of a stack's blocks, before it is known what the others are handed."""

    scope: Scope
    outputs: dict[str, Value]
    shapes: tuple[Shape, ...]  # of what it carries on

    def used(self) -> tuple[Value, ...]:
        """The outer values that it reads."""
        read = {id(value) for op in self.scope.ops for value in op.inputs}
        read |= {id(value) for value in self.outputs.values()}
        return tuple(self.scope._outer[id(value)] for value in self.scope.inputs if id(value) in read)

    def close(self, handed: tuple[Value, ...], balance: bool, doc: str) -> Graph:
        if balance:
            total = (
                self.scope.total_balance() if self.scope.balance else self.scope.emit("zero", *self.scope.inputs[:1])
            )
            self.outputs["balance"] = total.named("balance")
        self.scope.inputs = [self.scope.receive(value) for value in handed]
        return self.scope.close(self.outputs, doc, None, keep=self.scope.inputs)


def _named(name: str, results: Results) -> dict[str, Value]:
    if isinstance(results, Value):
        return {name: results}
    if isinstance(results, tuple):
        return {value.name: value for value in results}
    return {port or name: value for port, value in results.items()}


def divisors_near(width: int, heads: int) -> str:
    """A hint for heads that do not divide a width."""
    fitting = [d for d in range(1, min(width, 1024) + 1) if width % d == 0]
    below = [d for d in fitting if d < heads][-2:]
    above = [d for d in fitting if d > heads][:2]
    return f"{width} can be divided by " + ", ".join(map(str, (*below, *above)))
