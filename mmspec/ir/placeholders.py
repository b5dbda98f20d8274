"""What a model asks of the ids of its texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mmspec.ir.graph import Graph


@dataclass(frozen=True)
class Placeholder:
    """`count` ids of every sample of a text are `id`: places for what else the model reads."""

    input: str
    id: int
    count: int


def placeholders(graph: Graph) -> Iterator[Placeholder]:
    """What `graph` asks of its inputs, through all scopes."""
    names = {id(value): value.name for value in graph.inputs}
    for op in graph.ops:
        if op.kind == "insert_tokens" and id(op.inputs[2]) in names:
            count = op.inputs[1].tokens
            assert isinstance(count, int), "how many tokens are put in must be known"
            yield Placeholder(names[id(op.inputs[2])], op.attributes["placeholder"], count)
        elif op.kind == "call":
            outer = {inner.name: value for inner, value in zip(op.bodies[0].inputs, op.inputs, strict=True)}
            for place in placeholders(op.bodies[0]):
                if id(outer[place.input]) in names:
                    yield Placeholder(names[id(outer[place.input])], place.id, place.count)
