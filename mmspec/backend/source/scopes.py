"""The body of one class: what its `__init__` makes and its `forward` computes, line by line."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from mmspec.backend import runtime
from mmspec.backend.fx import CONTAINERS
from mmspec.backend.source.expressions import Expression, Torch, written
from mmspec.ir import PRIMITIVES, Graph, Op, Value
from mmspec.ir.graph import copies
from mmspec.ir.primitives import shape_text
from mmspec.ir.primitives.control import container

WIDTH = 108  # characters of a line that is not split; each level of nesting stays one expression up to it

GLOBALS = {"F", "nn", "self", "torch", *runtime.__all__}  # names that a variable must not hide

Construct = Callable[[Graph], str]  # the expression that makes a scope's module


@dataclass
class Line:
    """A line of code and, beside it, a comment with shapes."""

    code: str
    comment: str = ""


@dataclass
class Scope:
    """The lines of a class, before what differs between its instances has become arguments."""

    graph: Graph
    made: list[Line] = field(default_factory=list)
    signature: str = ""
    signature_comment: str = ""
    computed: list[Line] = field(default_factory=list)


class Writer:
    """Writes one graph. A value that is read once is written where it is read, while the line stays short."""

    def __init__(self, graph: Graph, torch: Torch, construct: Construct) -> None:
        self.graph, self.torch, self.construct = graph, torch, construct
        self.reads = Counter(id(value) for op in graph.ops for value in op.inputs)
        self.reads.update(id(value) for value in graph.outputs.values())
        self.root = graph.whole
        self.left = Counter(self.reads)
        self.expressions: dict[int, Expression] = {}
        self.variables: dict[str, int] = {}  # by name, the value that it holds
        self.pending: dict[int, set[int]] = {}  # values that no line has yet, and the variables in their expressions
        self.scope = Scope(graph)

    def write(self) -> Scope:
        self._signature()
        for op in self.graph.ops:
            self._make(op)
            self._compute(op)
        self._return()
        return self.scope

    # __init__ -------------------------------------------------------------------------------------------------------

    def _make(self, op: Op) -> None:
        if "shares" in op.attributes:
            return
        if op.kind == "constant":
            made = written(PRIMITIVES[op.kind].make(self.torch, op))
            self.scope.made.append(Line(f'self.register_buffer("{op.name}", {made}, persistent=False)'))
            return
        if op.kind in ("call", "define"):
            made = self.construct(op.bodies[0])
        elif op.kind in CONTAINERS:
            made = container(self.torch.nn, self.torch.runtime, op, Expression(self._copies(op))).text
        else:
            expression = PRIMITIVES[op.kind].make(self.torch, op)
            if expression is None:
                return
            made = written(expression)
        self.scope.made.append(Line(f"self.{op.name} = {made}"))

    def _copies(self, op: Op) -> str:
        """The modules of a stack or of experts: what repeats is a generator, else they are listed."""
        said = [self.construct(body) for body in copies(op)]
        period = next(p for p in range(1, len(said) + 1) if said == said[:p] * (len(said) // p))
        if period == len(said) > 1:
            return "[" + "".join(f"\n            {each}," for each in said) + "\n        ]"
        times = f"for _ in range({len(said) // period})"
        made = f"{said[0]} {times}" if period == 1 else f"block {times} for block in ({', '.join(said[:period])})"
        # a generator that is the only argument needs no brackets of its own
        alone = op.kind in ("repeat", "functions") or (
            op.kind == "experts" and not op.attributes["shared"] and not op.attributes.keys() & {"room", "placement"}
        )
        return made if alone else f"({made})"

    # forward --------------------------------------------------------------------------------------------------------

    def _signature(self) -> None:
        said, shapes = ["self"], []
        for value in self.graph.inputs:
            name = self._assign(value, value.name)
            optional = self.root and value.optional
            kind = "nn.Module" if value.dtype == "function" else "Tensor | None" if optional else "Tensor"
            said.append(f"{name}: {kind}" + (" = None" if optional else ""))
            if value.dtype != "function":
                shapes.append(shape_text(value.shape))
        result = (
            "dict[str, Tensor]" if self.root else "Tensor" if len(self.graph.outputs) == 1 else "tuple[Tensor, ...]"
        )
        self.scope.signature = f"def forward({', '.join(said)}) -> {result}:"
        self.scope.signature_comment = ", ".join(shapes)

    def _compute(self, op: Op) -> None:
        if op.kind in ("parameter", "constant", "define", "functions"):
            self.expressions[id(op.outputs[0])] = Expression(f"self.{op.attributes.get('shares', op.name)}")
            return
        if op.kind == "repeat":
            self._loop(op)
            return
        result = self._expression(op)
        if len(result.text) > WIDTH - 24:
            self._spill(op)
            result = self._expression(op)
        held = self._take(op.inputs)
        if len(op.outputs) > 1:
            targets = [self._assign(value, value.name) if self.reads[id(value)] else "_" for value in op.outputs]
            self._line(f"{', '.join(targets)} = {result.text}", op.outputs[:1])
        elif self.reads[id(op.outputs[0])] == 1 and len(result.text) <= WIDTH - 24 and not self._before_loop(op):
            self.expressions[id(op.outputs[0])] = result
            self.pending[id(op.outputs[0])] = held
        else:
            target = self._assign(op.outputs[0], self._best_name(op))
            self._line(f"{target} = {result.text}", op.outputs)

    def _expression(self, op: Op) -> Expression:
        inputs = [self.expressions[id(value)] for value in op.inputs]
        module = Expression(f"self.{op.attributes.get('shares', op.name)}")
        result: Expression = PRIMITIVES[op.kind].run(self.torch, module, op, *inputs)
        return result

    def _spill(self, op: Op) -> None:
        """Give the operation's inputs lines of their own, where they are more than a name."""
        for value in op.inputs:
            text = self.expressions[id(value)].text
            if not text.replace(".", "_").isidentifier():
                self.pending.pop(id(value), None)
                self._line(f"{self._assign(value, value.name)} = {text}", (value,))

    def _loop(self, op: Op) -> None:
        """Blocks in a row: the carried values keep their variables from one to the next."""
        carried = op.attributes["carried"]
        texts = [self.expressions[id(value)].text for value in op.inputs]
        self._take(op.inputs)
        targets = []
        for i in range(carried):
            name = self._assign(op.outputs[i], op.inputs[i].name)
            if texts[i] != name:
                self._line(f"{name} = {texts[i]}", op.inputs[i : i + 1])
            targets.append(name)
        arguments = ", ".join([*targets, *texts[carried:]])
        total = self._assign(op.outputs[-1], "balance") if op.attributes["balance"] else ""
        if total:
            self._line(f"{total} = 0.0")
        for blocks, tap in self._runs(op):
            self._line(f"for block in {blocks}:")
            self._line(f"    {', '.join(targets)}{', loss' if total else ''} = block({arguments})")
            if total:
                self._line(f"    {total} = {total} + loss")
            if tap is not None and self.reads[id(tap)]:
                self._line(f"{self._assign(tap, tap.name)} = {targets[0]}", (tap,))

    @staticmethod
    def _runs(op: Op) -> Iterator[tuple[str, Value | None]]:
        """The blocks between taps, and what is read after each run."""
        taps = op.attributes.get("taps", ())
        starts = (0, *taps)
        for i, (start, stop) in enumerate(zip(starts, (*taps, None), strict=True)):
            cut = "" if not taps else f"[{start or ''}:{stop or ''}]"
            if start != op.attributes["count"]:
                yield f"self.{op.name}{cut}", op.outputs[op.attributes["carried"] + i] if stop else None

    def _return(self) -> None:
        outputs = {name: self.expressions[id(value)].text for name, value in self.graph.outputs.items()}
        if not self.root:
            self._line("return " + ", ".join(outputs.values()), tuple(self.graph.outputs.values()))
            return
        always = ", ".join(f'"{name}": {text}' for name, text in outputs.items() if name not in self.graph.training)
        extra = ", ".join(f'"{name}": {text}' for name, text in outputs.items() if name in self.graph.training)
        if not extra:
            self._line(f"return {{{always}}}")
            return
        self._line(f"outputs = {{{always}}}")
        self._line("if self.training:")
        self._line(f"    outputs |= {{{extra}}}")
        self._line("return outputs")

    # names ----------------------------------------------------------------------------------------------------------

    def _take(self, values: Iterable[Value]) -> set[int]:
        """Read the values; returns the variables that their expressions hold."""
        held: set[int] = set()
        for value in values:
            self.left[id(value)] -= 1
            held |= self.pending.pop(id(value), {id(value)})
        return held

    def _free(self, variable: int) -> bool:
        return self.left[variable] <= 0 and not any(variable in held for held in self.pending.values())

    def _assign(self, value: Value, wanted: str) -> str:
        """A variable for the value: the wanted name, unless that still holds something that will be read."""
        wanted = wanted.replace(".", "_")
        if keyword.iskeyword(wanted) or wanted in GLOBALS:
            wanted += "_"
        name, number = wanted, 2
        while name in self.variables and self.variables[name] != id(value) and not self._free(self.variables[name]):
            name, number = f"{wanted}{number}", number + 1
        self.variables[name] = id(value)
        self.expressions[id(value)] = Expression(name)
        return name

    def _best_name(self, op: Op) -> str:
        """What a person would call it: its own name, or, for a sum onto a stream that is not read again, the stream's."""
        if (op.kind == "add" and op.outputs[0].name == "add") or op.kind == "dropout":
            for value in op.inputs:
                text = self.expressions[id(value)].text
                if self.variables.get(text) == id(value) and self._free(id(value)):
                    return text
            return "x"
        return op.outputs[0].name

    def _before_loop(self, op: Op) -> bool:
        """Whether the value is what a loop starts from: it gets a line of its own."""
        readers: Iterable[Op] = (other for other in self.graph.ops if op.outputs[0] in other.inputs)
        return any(
            other.kind == "repeat" and other.inputs.index(op.outputs[0]) >= other.attributes["carried"]
            for other in readers
        )

    def _line(self, code: str, values: tuple[Value, ...] = ()) -> None:
        shapes = ", ".join(shape_text(value.shape) for value in values if value.shape)
        self.scope.computed.append(Line(code, shapes))
