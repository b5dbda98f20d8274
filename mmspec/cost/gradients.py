"""Where gradients flow: which values need one, and which of them get one.

A value needs a gradient if something trainable lies behind it, and gets one if a loss lies before it. Both are needed for a
backward operation to run: frozen encoders, the first layer's input, the last block's streams that nobody reads cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mmspec.ir import Graph, Op, Value
from mmspec.ir.graph import copies, learns

Flags = tuple[bool, ...]


@dataclass
class Flow:
    """What needs a gradient, remembered: a block is looked at once for each way in which it is used."""

    _needs: dict[tuple[int, Flags], dict[int, bool]] = field(default_factory=dict)
    _kept: list[Graph] = field(default_factory=list)  # ids stay valid while their graphs live

    def needs(self, graph: Graph, given: Flags) -> dict[int, bool]:
        """Whether each value inside needs a gradient, by id, where the inputs do as `given`."""
        key = (id(graph), given)
        if key not in self._needs:
            self._kept.append(graph)
            found = {id(value): need for value, need in zip(graph.inputs, given, strict=True)}
            for op in graph.ops:
                for value, need in zip(op.outputs, self._made(op, found), strict=True):
                    found[id(value)] = need and self.carries(value)
            self._needs[key] = found
        return self._needs[key]

    def carries(self, value: Value) -> bool:
        return value.dtype == "f32"

    def made(self, op: Op, given: Flags) -> bool:
        return any(given) or learns(op) or any(map(trains, op.bodies))

    def given(self, op: Op, needs: dict[int, bool]) -> Flags:
        return tuple(needs.get(id(value), False) for value in op.inputs)

    def outward(self, graph: Graph, given: Flags) -> Flags:
        needs = self.needs(graph, given)
        return tuple(needs.get(id(value), False) for value in graph.outputs.values())

    def _made(self, op: Op, needs: dict[int, bool]) -> Flags:
        """What each output needs."""
        given = self.given(op, needs)
        if op.kind == "call":
            return self.outward(op.bodies[0], given)
        if op.kind in ("define", "functions"):
            return (self.made(op, ()),) * len(op.outputs)
        some = self.made(op, given)
        if op.kind == "repeat":
            last = self.blocks(op, needs)[-1]
            carried = self.outward(*last)[: op.attributes["carried"]]
            return (*carried, *(some for _ in op.outputs[len(carried) :]))
        return (some,) * len(op.outputs)

    def blocks(self, op: Op, needs: dict[int, bool]) -> list[tuple[Graph, Flags]]:
        """Each block of a stack, in order, with what its inputs need."""
        number = op.attributes.get("carried", 1)
        given = self.given(op, needs)[len(op.attributes.get("given", ())) :]
        carried, shared = given[:number], given[number:]
        result = []
        for graph in op.bodies * int(op.attributes["count"]) if op.kind == "loop" else copies(op):
            result.append((graph, (*carried, *shared)[: len(graph.inputs)]))
            carried = self.outward(*result[-1])[:number]
        return result


def trains(graph: Graph) -> bool:
    """Whether anything inside is trainable."""
    return any(learns(op) or any(map(trains, op.bodies)) for op in graph.ops)
