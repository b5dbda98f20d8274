"""A graph as something that can be run with tensors without numbers: the same modules, in the same order, that let go of a value
after its last reader, as the built module does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from mmspec.cost.flops import Sizes
from mmspec.cost.rehearsal.dtypes import DTYPES
from mmspec.cost.rehearsal.recompute import recomputed
from mmspec.cost.rehearsal.stand_in import TORCH
from mmspec.cost.rehearsal.state import STATE, NoRule, enter
from mmspec.cost.rehearsal.tensor import Tensor, new
from mmspec.ir import PRIMITIVES, Graph, Op, Value
from mmspec.ir.graph import copies
from mmspec.ir.primitives.control import container

CONTAINERS = ("repeat", "stages", "loop", "experts", "functions")
MAKING = SimpleNamespace(nn=TORCH.nn, empty=TORCH.empty, runtime=TORCH.runtime)


class Model:
    """A scope with weights. `checkpoint`: blocks of stacks are recomputed.   Raises NoRule when it runs."""

    def __init__(self, graph: Graph, checkpoint: bool = False, path: str = "", plans: Any = None) -> None:
        self.graph, self.path = graph, path
        plans = {} if plans is None else plans
        if id(graph) not in plans:
            plans[id(graph)] = _plan(graph)
        self.plan: Sequence[tuple[Op, tuple[int, ...]]] = plans[id(graph)]
        self.parts: dict[str, Any] = {}
        for op in graph.ops:
            made = self._made(op, checkpoint, plans)
            if made is not None:
                self.parts[op.name] = made

    def _made(self, op: Op, checkpoint: bool, plans: Any) -> Any:
        path = f"{self.path}{op.name}"
        if "shares" in op.attributes:
            return None
        if op.kind in ("call", "define"):
            return Model(op.bodies[0], checkpoint, f"{path}.", plans)
        if op.kind in CONTAINERS:
            # blocks of a stack share one entry of a bill; copies of other kinds have numbers
            places = [f"{path}." if op.kind in ("repeat", "stages") else f"{path}.{i}." for i in range(len(copies(op)))]
            made: list[Any] = [
                Model(body, checkpoint, place, plans) for body, place in zip(copies(op), places, strict=True)
            ]
            if checkpoint and op.kind in ("repeat", "stages"):
                made = [Recomputed(block) for block in made]
            enter(path, op.kind, "buffers")
            return container(TORCH.nn, TORCH.runtime, op, made)
        if op.kind == "constant":
            enter(path, op.kind, "buffers")
            value = op.outputs[0]
            dtype = DTYPES[value.dtype]
            return new([_whole(size) for size in value.shape], STATE.weights if dtype.floating else dtype)
        enter(path, op.kind, "weights")
        made_ = PRIMITIVES[op.kind].make(MAKING, op)
        if getattr(made_, "whole", None) is False:  # how many tokens stay depends on data: at most all
            made_.whole = True
        for parameter in op.parameters:
            holder = made_ if op.kind == "parameter" else getattr(made_, parameter.name, None)
            if isinstance(holder, Tensor):
                holder.requires_grad = parameter.trainable and not parameter.buffer
        return made_

    def __call__(self, *inputs: Any) -> Any:
        graph = self.graph
        values: dict[int, Any] = {id(value): x for value, x in zip(graph.inputs, inputs, strict=True)}
        for op, dying in self.plan:
            given = [values[id(value)] for value in op.inputs]
            if op.kind == "repeat":  # its first block is the last that reads what goes from block to block
                for place in dying:
                    values.pop(place, None)
            results = self._run(op, given)
            given.clear()
            for place in dying:
                values.pop(place, None)
            for value, result in zip(op.outputs, results, strict=True):
                if id(value) not in dying:
                    values[id(value)] = result
            del results
            result = None
        outputs = [values[id(value)] for value in graph.outputs.values()]
        return outputs[0] if len(outputs) == 1 and not graph.whole else tuple(outputs)

    def _run(self, op: Op, given: list[Any]) -> list[Any]:
        module = self.parts.get(op.attributes.get("shares", op.name))
        if op.kind == "repeat":
            return _unrolled(op, module, given)
        enter(f"{self.path}{op.name}" if op.name else self.path.rstrip("."), op.kind, STATE.phase)
        if op.kind == "experts":
            STATE.met = op.attributes["met"]
        try:
            result = PRIMITIVES[op.kind].run(TORCH, module, op, *given)
        except NoRule as missing:
            raise missing if missing.kind else NoRule(missing.what, op.kind) from None
        except (AttributeError, NotImplementedError, TypeError) as error:  # a form that the stand-in has not
            raise NoRule(str(error), op.kind) from error
        return [result] if len(op.outputs) == 1 else list(result)

    def parameters(self) -> Iterator[Tensor]:
        """Every weight once."""
        seen: set[int] = set()
        for tensor in _tensors(self):
            if tensor.home is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor


class Recomputed:
    def __init__(self, block: Callable[..., Any]) -> None:
        self.block = block

    def __call__(self, *inputs: Any) -> Any:
        return recomputed(self.block, *inputs)


def _tensors(part: Any) -> Iterator[Tensor]:
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, Model):
        for inner in part.parts.values():
            yield from _tensors(inner)
    elif isinstance(part, (list, tuple)):
        for inner in part:
            yield from _tensors(inner)
    elif isinstance(part, Recomputed):
        yield from _tensors(part.block)
    elif hasattr(part, "__dict__"):
        for inner in vars(part).values():
            yield from _tensors(inner)


def _plan(graph: Graph) -> list[tuple[Op, tuple[int, ...]]]:
    """Each operation with the values that nobody reads after it."""
    last: dict[int, int] = {}
    for index, op in enumerate(graph.ops):
        for value in (*op.inputs, *op.outputs):
            last[id(value)] = index
    for value in graph.outputs.values():
        last.pop(id(value), None)
    dying: dict[int, list[int]] = {}
    for place, index in last.items():
        dying.setdefault(index, []).append(place)
    return [(op, tuple(dying.get(index, ()))) for index, op in enumerate(graph.ops)]


def _unrolled(op: Op, blocks: Any, given: list[Any]) -> list[Any]:
    """One block after the other."""
    carried, taps = op.attributes["carried"], op.attributes.get("taps", ())
    loss: Any = None
    tapped: list[Any] = []
    for index, block in enumerate(blocks):
        after = block(*given)
        several = carried + bool(op.attributes["balance"]) > 1
        parts = list(after) if several else [after]
        del after
        given[:carried] = parts[:carried]
        if op.attributes["balance"]:
            loss = parts[-1] if loss is None else loss + parts[-1]
        tapped += given[:carried] if index + 1 in taps else []
        parts.clear()
    return [*given[:carried], *tapped, *([loss] if loss is not None else [])]


def examples(values: Sequence[Value], sizes: Sizes, phase: str) -> dict[str, Tensor]:
    """Inputs of a graph by name; what may be left out is."""
    made: dict[str, Tensor] = {}
    for value in values:
        if not value.optional:
            enter(value.name, "input", phase)
            dtype = DTYPES[value.dtype]
            made[value.name] = new([_whole(n) for n in sizes(value)], STATE.weights if dtype.floating else dtype)
    return made


def outputs_of(model: Model, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """What the whole model answers, by name."""
    graph = model.graph
    results = model(*(inputs.get(value.name) for value in graph.inputs))
    return {
        name: value
        for name, value in zip(graph.outputs, results, strict=True)
        if STATE.training or name not in graph.training
    }


def _whole(size: Any) -> int:
    assert isinstance(size, int), f"{size} is not bound"
    return size
