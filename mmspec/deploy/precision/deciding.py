"""What decides in a file: where real numbers become integers or truth, and all that these numbers were made of.

    place = CumSum(sent) * sent;  Greater(place, capacity)        place, CumSum(sent) and sent decide

Places and counts are whole numbers, which float16 holds up to 2,048; scores are compared, and a small error becomes another expert.
The way back ends at products (of weights, which say by themselves in what they are computed, and of activations) and at what is no
real number. It leads into branches and loops, and out of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mmspec.deploy.file import graphs

if TYPE_CHECKING:
    import onnx

PRODUCTS = frozenset({"MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum"})
SHAPES = frozenset({"Shape", "Size"})  # which read no numbers
GIVEN = 2  # inputs of a loop before those that it carries: its turns and its condition, which its body has as inputs as well


def deciding(proto: onnx.ModelProto, floats: set[str]) -> set[str]:
    """The values that are computed in float32 since they decide, by name: integers and truths that are made of real numbers, and of
    `floats`, the real numbers of every scope, those that lead there."""
    made_of = _made_of(proto)
    roots = {name: given for name, given in made_of.items() if name not in floats and floats & set(given)}
    found = set(roots)
    waiting = [name for given in roots.values() for name in given]
    while waiting:
        name = waiting.pop()
        if name in floats and name not in found:
            found.add(name)
            waiting += made_of.get(name, ())
    return found


def _made_of(proto: onnx.ModelProto) -> Mapping[str, list[str]]:
    """What each value is made of: nothing, for this, where it is a product."""
    found: dict[str, list[str]] = defaultdict(list)
    for graph in graphs(proto.graph):
        for node in graph.node:
            for whole, part in _borders(node):
                found[whole].append(part)
            if not bodies(node) and node.op_type not in PRODUCTS | SHAPES:
                for name in node.output:
                    found[name] += node.input
    return found


def _borders(node: onnx.NodeProto) -> Iterator[tuple[str, str]]:
    """Of a branch or loop, pairs of what it gives and what that is: a result of a body, or what a loop is given and gives on. What
    is carried is one: where a turn's input decides, so does the result of the turn before."""
    for body in bodies(node):
        results = [value.name for value in body.output]
        if node.op_type != "Loop":
            yield from zip(node.output, results, strict=True)
            continue
        yield from zip(node.output, results[1:], strict=True)
        for whole, given, begun, result in zip(
            node.output, body.input[GIVEN:], node.input[GIVEN:], results[1:], strict=False
        ):
            yield whole, given.name
            yield from ((given.name, each) for each in (whole, begun, result))


def bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The graphs of a branch or a loop."""
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]
