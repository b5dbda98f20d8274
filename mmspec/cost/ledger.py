"""The bill of a model, line by line: what each operation computes and moves, forward and backward. Imports no torch.

A tree: the model, its nodes, their scopes, operations. A stack's blocks that cost the same share one line, so that a model of
eighty layers has no more lines than one of two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add

from mmspec.cost.flops import Sizes, bind_all, flops
from mmspec.cost.gradients import Flags, Flow
from mmspec.cost.work import NOTHING, Work
from mmspec.ir import PRIMITIVES, Graph, Op, Value
from mmspec.ir.graph import copies, learns, own_parameters
from mmspec.passes import lower_objectives
from mmspec.spec import ModelSpec


@dataclass(frozen=True)
class Entry:
    """One line of the bill.

    path         the module's name, "image.blocks.attention.query", or its value's where it has no module; blocks of a stack bear
                 no number where one line is all of them; "" is the model
    kind         type of a node's component, class of a scope inside, kind of an operation
    role         "encoders", ...; "inputs" for what is done to an input, "" for the model
    modality     the inputs that flow into its node, "image+text"
    times        how often it runs in one run of its parent
    copies       how many there are of it in its parent: blocks of a stack, experts; 0 of what uses another node's weights
    parameters   trained numbers of one copy, with all inside
    forward, backward   of one run, with all inside
    shape, dtype of the first output
    op           of an operation, else None
    """

    path: str
    kind: str
    role: str
    modality: str
    times: int
    copies: int
    parameters: int
    forward: Work
    backward: Work
    shape: tuple[int, ...]
    dtype: str
    children: tuple[Entry, ...] = ()
    op: Op | None = field(default=None, repr=False)

    def walk(self, runs: int = 1) -> Iterator[tuple[Entry, int]]:
        """Each line inside, itself first, with how often it runs in one pass of the model."""
        runs *= self.times
        yield self, runs
        for child in self.children:
            yield from child.walk(runs)

    def operations(self) -> Iterator[tuple[Entry, int]]:
        """The operations, in the order of the schedule, with how often each runs in one pass of the model."""
        return ((entry, runs) for entry, runs in self.walk() if entry.op is not None)


def ledger(spec: ModelSpec, graph: Graph, sizes: Sizes, fused: bool = True) -> Entry:
    """The bill of one pass at `sizes`: every exit, and all that is active. Backward is of a step that trains what the spec's
    objectives ask for, or the sum of all outputs where it has none.

    fused   attention keeps no scores for its backward, which computes them once more
    """
    wanted = {value.name for value in lower_objectives(spec).inputs} if spec.objectives else set(graph.outputs)
    return Bill(spec, sizes, fused).model(graph, (False,) * len(graph.inputs), wanted)


@dataclass(frozen=True)
class _Place:
    """Where in the model a line stands."""

    path: str
    role: str
    modality: str
    experts: int = 0  # how many of them may be met, whose weights are read

    def at(self, name: str) -> _Place:
        return replace(self, path=f"{self.path}.{name}" if self.path else name)


@dataclass
class _Asked:
    """What stacks apply at exits, a head for one: how often, and whether its answers are trained."""

    times: int = 0
    trained: bool = False
    modality: str = ""


class Bill:
    def __init__(self, spec: ModelSpec, sizes: Sizes, fused: bool) -> None:
        self.spec, self.sizes, self.fused = spec, sizes, fused
        self.flow = Flow()
        self.roles = {node.name: node.path.partition(".")[0] for node in spec.nodes}
        self.asked: dict[int, _Asked] = {}

    def model(self, graph: Graph, given: Flags, wanted: Collection[str]) -> Entry:
        """`given`: which inputs need a gradient; `wanted`: the outputs that get one."""
        gets = tuple(name in wanted for name in graph.outputs)
        streams = _modalities(self.spec, graph)
        lines, _ = self.scope(graph, _Place("", "", ""), given, gets, streams)
        return _sum(_Place("", "", ""), self.spec.name, lines, next(iter(graph.outputs.values())), self.sizes)

    def scope(
        self, graph: Graph, place: _Place, given: Flags, gets: Flags, streams: Mapping[int, str] | None = None
    ) -> tuple[tuple[Entry, ...], Flags]:
        """The lines of a graph, and which of its inputs get a gradient.   `streams`: of the model, the modality of each value"""
        needs = self.flow.needs(graph, given)
        got = {id(value): get for value, get in zip(graph.outputs.values(), gets, strict=True)}
        lines: list[Entry] = []
        defined: list[tuple[int, Op, _Place]] = []
        for op in reversed(graph.ops):
            if not self.runs(op, needs):
                continue
            where = place if streams is None else _placed(op, self.roles, streams)
            answers = tuple(got.get(id(value), False) and needs[id(value)] for value in op.outputs)
            if op.kind == "define":
                defined.append((len(lines), op, where))
                continue
            line, back = self.line(op, where, needs, answers)
            lines += line
            for value, wants in zip(op.inputs, back, strict=True):
                got[id(value)] = got.get(id(value), False) or wants
        for index, op, where in reversed(defined):  # how often it is asked is known when all else is counted
            lines.insert(index, self.defined(op, where))
        inward = tuple(got.get(id(value), False) and needs[id(value)] for value in graph.inputs)
        return tuple(reversed(lines)), inward

    def runs(self, op: Op, needs: Mapping[int, bool]) -> bool:
        """Whether it is part of the pass."""
        return True

    def line(self, op: Op, place: _Place, needs: dict[int, bool], gets: Flags) -> tuple[list[Entry], Flags]:
        """What one operation costs, and which of its inputs get a gradient from it."""
        given = self.flow.given(op, needs)
        if op.kind == "functions":
            return [], given
        if op.kind == "call":
            body = op.bodies[0]
            lines, inward = self.scope(body, place.at(op.name), given, gets)
            entry = _sum(place.at(op.name), _kind(body), lines, op.outputs[0], self.sizes)
            return [replace(entry, copies=0) if "shares" in op.attributes else entry], inward
        if op.kind in ("repeat", "stages", "loop"):
            return self.stack(op, place, needs, gets)
        if op.kind == "experts":
            return self.experts(op, place, given, gets)
        return [self.operation(op, place, given, gets)], tuple(
            any(gets) and need and value.dtype == "f32" for value, need in zip(op.inputs, given, strict=True)
        )

    def operation(self, op: Op, place: _Place, given: Flags, gets: Flags) -> Entry:
        primitive, floats, sizes = PRIMITIVES[op.kind], self.sizes.floats, self.sizes.of(op)
        where = place.at(op.name or op.outputs[0].name)
        trained = own_parameters(op)
        forward = backward = NOTHING
        if op.kind not in ("parameter", "constant"):
            products = primitive.flops(op, sizes)
            read, written = primitive.moved(op, sizes.bytes, floats, max(place.experts, 1))
            pointwise = _whole(primitive.pointwise(op, sizes))
            family = "experts" if place.experts else primitive.family
            forward = Work(**{family: _whole(products)}, pointwise=pointwise, read=read, written=written)
            if any(gets):
                learned = learns(op)
                again = _whole(primitive.backward(op, sizes, given, learned, self.fused)) if products else 0
                wanted = sum(self.sizes.bytes(value) for value, need in zip(op.inputs, given, strict=True) if need)
                made = wanted + (floats * trained * max(place.experts, 1) if learned else 0) if read else 0
                backward = Work(**{family: again}, pointwise=2 * pointwise, read=read + written, written=made)
        shape = tuple(map(_whole, self.sizes(op.outputs[0])))
        return Entry(
            where.path, op.kind, where.role, where.modality,  1,  1, trained, forward, backward, shape, op.outputs[0].dtype, op=op
        )  # fmt: skip

    def stack(self, op: Op, place: _Place, needs: dict[int, bool], gets: Flags) -> tuple[list[Entry], Flags]:
        """Blocks that cost the same, forward and backward, are one line."""
        where = place.at(op.name)
        front = op.attributes.get("given", ())
        number = op.attributes.get("carried", 1)
        carried, rest = gets[:number], gets[number:]
        taps = op.attributes.get("taps", ())
        asked = self.exits(op, where, any(rest)) if op.kind == "stages" else ()
        shared: list[bool] = []
        kinds: dict[tuple[int, Flags, Flags], list[int]] = {}
        wants: dict[tuple[int, Flags, Flags], tuple[tuple[Entry, ...], Flags]] = {}
        blocks = self.flow.blocks(op, needs)
        ends = (*(op.attributes.get("after") or range(1, len(blocks))), len(blocks))
        for index in reversed(range(len(blocks))):
            body, given = blocks[index]
            if op.kind == "repeat":
                at = [i for i, tap in enumerate(taps) if tap == index + 1]
                carried = tuple(get or any(rest[i] for i in at) for get in carried)
                loss = bool(op.attributes.get("balance")) and gets[-1]
            else:  # whoever leaves is looked at
                looked = index + 1 in ends or op.kind == "loop"
                carried = tuple(get or (looked and any(rest)) for get in carried)
                loss = any(rest)
            outward = (*carried, *(loss for _ in range(len(body.outputs) - len(carried))))
            key = (id(body), given, outward)
            if key not in wants:
                inside = where.at(str(index)) if len(op.bodies) > 1 else where
                wants[key] = self.scope(body, inside, given, outward)
            kinds.setdefault(key, []).append(index)
            back = wants[key][1]
            carried, more = back[:number], back[number:]
            shared = [a or b for a, b in zip(shared, more, strict=True)] if shared else list(more)
        lines = []
        for key, indices in reversed(kinds.items()):
            body = blocks[indices[0]][0]
            inside = where if len(kinds) == 1 and not asked else where.at(str(min(indices)))
            output = next(iter(body.outputs.values()))
            lines.append(_sum(inside, body.name, wants[key][0], output, self.sizes, len(indices)))
            of = len(indices) if op.kind != "loop" else int(len(lines) == 1)  # a loop has one block
            lines[-1] = replace(lines[-1], copies=of)
        inputs = (*(False for _ in front), *carried, *shared)
        inputs += (any(rest),) * (len(op.inputs) - len(inputs))  # what only exits look at
        if len(lines) == 1 and not asked:
            return lines, inputs
        return [_sum(where, op.kind, (*lines, *asked), op.outputs[0], self.sizes)], inputs

    def exits(self, op: Op, place: _Place, trained: bool) -> tuple[Entry, ...]:
        """Heads of the exits' own, which are the stack's; what else is asked there is counted where it is defined."""
        given = dict(zip(op.attributes["given"], op.inputs, strict=False))
        earlier = len(op.attributes.get("after") or range(1, op.attributes["count"]))
        times = {"head": 1 if "heads" in given else earlier + 1, "readout": earlier + 1, "unit": earlier}
        lines = []
        for name, value in given.items():
            if value.function is None:
                continue
            if name in times:
                asked = self.asked.setdefault(id(value.function), _Asked(modality=place.modality))
                asked.times += times[name]
                asked.trained |= trained
            else:
                line = self.function(value.function, place.at(name), earlier, trained)
                lines.append(replace(line, copies=earlier))
        return tuple(lines)

    def defined(self, op: Op, place: _Place) -> Entry:
        asked = self.asked.get(id(op.bodies[0]), _Asked())
        place = replace(place, modality=place.modality or asked.modality)
        return self.function(op.bodies[0], place.at(op.name), asked.times, asked.trained)

    def function(self, body: Graph, place: _Place, times: int, trained: bool) -> Entry:
        given = tuple(value.dtype == "f32" for value in body.inputs)
        lines, _ = self.scope(body, place, given, (trained,) * len(body.outputs))
        return _sum(place, _kind(body), lines, next(iter(body.outputs.values())), self.sizes, times)

    def experts(self, op: Op, place: _Place, given: Flags, gets: Flags) -> tuple[list[Entry], Flags]:
        """One body's shapes are those of all that is sent to all experts; of several, the costliest are met."""
        where = replace(place.at(op.name), experts=1)
        dear = sorted(op.bodies, key=lambda body: bind_all(flops(body, self.sizes).own))
        met = dear[-op.attributes["met"] :] if len(op.bodies) > 1 else list(op.bodies)
        needs = tuple(any(given) for _ in given)
        lines = []
        for index, body in enumerate(op.bodies):
            flags = tuple(value.dtype == "f32" and any(given) for value in body.inputs)
            number = sum(each is body for each in copies(op))
            sent = _whole(self.sizes(body.inputs[0])[0])
            inside = replace(where.at(str(index)) if len(op.bodies) > 1 else where, experts=min(number, max(sent, 1)))
            found, _ = self.scope(body, inside, flags, (any(gets),) * len(body.outputs))
            times = sum(each is body for each in met)
            line = _sum(inside, body.name, found, next(iter(body.outputs.values())), self.sizes, times)
            lines.append(replace(line, copies=number))
        back = tuple(any(gets) and need and v.dtype == "f32" for v, need in zip(op.inputs, needs, strict=True))
        return lines if len(lines) == 1 else [_sum(where, "experts", tuple(lines), op.outputs[0], self.sizes)], back


def _sum(place: _Place, kind: str, lines: Sequence[Entry], output: Value, sizes: Sizes, times: int = 1) -> Entry:
    return Entry(
        place.path, kind, place.role, place.modality, times,  1, sum(line.parameters * line.copies for line in lines),
        reduce(add, (line.forward * line.times for line in lines), NOTHING),
        reduce(add, (line.backward * line.times for line in lines), NOTHING),
        tuple(map(_whole, sizes(output))), output.dtype, tuple(lines),
    )  # fmt: skip


def _kind(body: Graph) -> str:
    return str(body.arguments.get("type", body.name))


def _modalities(spec: ModelSpec, graph: Graph) -> dict[int, str]:
    """Of each value at the top of the model, the inputs that flow into it."""
    names = list(spec.inputs)
    found: dict[int, frozenset[str]] = {}
    for value in graph.inputs:
        of = [name for name in names if value.name == name or value.name.startswith(f"{name}_")]
        found[id(value)] = frozenset([max(of, key=len)] if of else [])
    for op in graph.ops:
        union = frozenset().union(*(found.get(id(value), frozenset()) for value in op.inputs))
        found |= {id(value): union for value in op.outputs}
    return {key: "+".join(name for name in names if name in those) for key, those in found.items()}


def _placed(op: Op, roles: Mapping[str, str], streams: Mapping[int, str]) -> _Place:
    return _Place("", roles.get(op.name, "inputs"), streams[id(op.outputs[0])])


def _whole(dim: object) -> int:
    assert isinstance(dim, int), f"{dim} is not bound"
    return dim
