"""Writing a text token by token: what one step costs, and the keys and values that are kept for it.

A step computes what depends on the newest token, for that token alone; its attention sees the keys and values of all tokens
before it, which are kept, as are those that were made of another input (an encoder's output). The prompt is one ordinary pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmspec.cost.flops import Sizes
from mmspec.cost.gradients import Flags, Flow
from mmspec.cost.ledger import Bill, Entry
from mmspec.cost.work import Work
from mmspec.ir import Dim, Graph, Op, Shape, Value, bind
from mmspec.ir.dims import Polynomial, product
from mmspec.spec import ModelSpec


@dataclass(frozen=True)
class Decoding:
    """One step of writing the text `text` at `tokens`, itself included.

    step         what it computes and moves, as a ledger: the kept keys and values are read
    cache        bytes of kept keys and values of the text itself, for all layers and samples, at `tokens`
    per_token    bytes by which that grows with each token
    context      bytes of keys and values that were made of other inputs, once
    """

    text: str
    tokens: int
    step: Entry
    cache: int
    per_token: int
    context: int

    @property
    def work(self) -> Work:
        return self.step.forward

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": self.text, "tokens": self.tokens, "step": self.work.to_dict(),
            "cache": {"bytes": self.cache, "per_token": self.per_token, "context": self.context},
        }  # fmt: skip


def decoding(spec: ModelSpec, graph: Graph, sizes: Sizes) -> Decoding | None:
    """A step at the text's length in `sizes`; None of a model that writes no text, or whose attention cannot go on from what is
    kept: each token of it sees later ones, or a pattern of its own."""
    writers = {node.name for node in spec.nodes if getattr(node.component, "type", "") == "language_model"}
    if not writers:
        return None
    for value in graph.inputs:
        row = value.shape[1] if value.dtype == "i64" and len(value.shape) == 2 else 0
        if isinstance(row, Polynomial):
            seeds = tuple(other.shape[1:2] == (row,) for other in graph.inputs)
            found = _decoding(spec, graph, sizes, value, row, seeds, writers)
            if found is not None:
                return found
    return None


def _decoding(
    spec: ModelSpec, graph: Graph, sizes: Sizes, text: Value, row: Polynomial, seeds: Flags, writers: set[str]
) -> Decoding | None:
    flow = _Dependence()
    depends = flow.needs(graph, seeds)
    written = [op for op in graph.ops if op.name in writers and any(depends.get(id(out), False) for out in op.outputs)]
    attended = list(_attended(graph, flow, seeds, 1))
    own = [(op, runs) for op, needs, runs in attended if needs[id(op.inputs[0])] and needs[id(op.inputs[1])]]
    if not written or not own or not all(_goes_on(op, row) for op, _ in own):
        return None
    tokens = bind(row, sizes.sizes)
    assert isinstance(tokens, int)
    kept = sum(runs * sum(sizes.bytes(value) for value in op.inputs[1:3]) for op, runs in own)
    others = [(op, runs) for op, needs, runs in attended if needs[id(op.inputs[0])] and not needs[id(op.inputs[1])]]
    context = sum(runs * sum(sizes.bytes(value) for value in op.inputs[1:3]) for op, runs in others)
    step = _Step(spec, _StepSizes(sizes.sizes, sizes.floats, row, tokens)).model(graph, seeds, ())
    return Decoding(text.name, tokens, step, kept, kept // tokens, context)


def _goes_on(op: Op, row: Dim) -> bool:
    """Whether keys and values of earlier tokens stay what they are as more tokens come."""
    return op.kind == "attention" and bool(op.attributes["causal"]) and op.inputs[1].shape[2] == row


def _attended(graph: Graph, flow: Flow, given: Flags, runs: int) -> Iterator[tuple[Op, Mapping[int, bool], int]]:
    """Every attention inside, what depends on the text around it, and how often it runs."""
    needs = flow.needs(graph, given)
    for op in graph.ops:
        if op.kind.endswith("attention"):
            yield op, needs, runs
        elif op.kind == "call":
            yield from _attended(op.bodies[0], flow, flow.given(op, needs), runs)
        elif op.kind in ("repeat", "stages", "loop"):
            for body, flags in flow.blocks(op, needs):
                yield from _attended(body, flow, flags, runs)


class _Dependence(Flow):
    """What depends on the text: of any type, and whatever is trained."""

    def carries(self, value: Value) -> bool:
        return True

    def made(self, op: Op, given: Flags) -> bool:
        return any(given)


class _Step(Bill):
    """The bill of what depends on the newest token."""

    def __init__(self, spec: ModelSpec, sizes: Sizes) -> None:
        super().__init__(spec, sizes, fused=True)
        self.flow = _Dependence()

    def runs(self, op: Op, needs: Mapping[int, bool]) -> bool:
        return any(needs[id(value)] for value in op.outputs)


class _StepSizes(Sizes):
    """A row of the text is one token long, but for those values of which attention sees all `tokens`."""

    def __init__(
        self, sizes: Mapping[str, int], floats: int, row: Dim, tokens: int, seen: Sequence[Value] = ()
    ) -> None:
        super().__init__({**sizes, str(row): 1}, floats)
        self.row, self.tokens = row, tokens
        self.seen = {id(value) for value in seen}

    def of(self, op: Op) -> Sizes:
        if op.kind != "attention":
            return self
        return _StepSizes(self.sizes, self.floats, self.row, self.tokens, op.inputs[1:])

    def __call__(self, value: Value) -> Shape:
        """Of [h, N, N], a bias, the last axis is that of what is seen."""
        shape = [bind(dim, self.sizes) for dim in value.shape]
        if id(value) in self.seen and self.row in value.shape:
            shape[max(axis for axis, dim in enumerate(value.shape) if dim == self.row)] = self.tokens
        return tuple(shape)

    def bytes(self, value: Value) -> int:
        number = product(self(value))
        assert isinstance(number, int), f"{number} is not bound"
        return number * self.width(value)
