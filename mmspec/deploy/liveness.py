"""Which parameters decide a graph's outputs. The file must hold these; what decides nothing may be missing from it.

Computed on the intermediate graph, so that it does not depend on what a tracer happened to see.
"""

from __future__ import annotations

from collections.abc import Iterable

from mmspec.ir import Graph, Op, Value
from mmspec.ir.graph import copies

Found = tuple[set[str], set[int]]  # paths of parameters; positions of inputs


def live_parameters(graph: Graph) -> set[str]:
    """Paths of the parameters that some output of the graph depends on."""
    return _live(graph, graph.outputs.values(), "")[0]


def _live(graph: Graph, wanted: Iterable[Value], path: str) -> Found:
    alive = {id(value) for value in wanted}
    parameters: set[str] = set()
    for op in reversed(graph.ops):
        ports = {i for i, value in enumerate(op.outputs) if id(value) in alive}
        if ports:
            found, inputs = _through(op, ports, path)
            parameters |= found
            alive |= {id(op.inputs[i]) for i in inputs}
    return parameters, {i for i, value in enumerate(graph.inputs) if id(value) in alive}


def _through(op: Op, ports: set[int], path: str) -> Found:
    inner = f"{path}{op.name}."
    if op.kind == "call":
        return _body(op.bodies[0], ports, f"{path}{op.attributes.get('shares', op.name)}.")
    if op.kind == "functions":
        every = (_body(body, set(range(len(body.outputs))), f"{inner}{i}.")[0] for i, body in enumerate(copies(op)))
        return set().union(*every), set()
    if op.kind == "define":
        return _body(op.bodies[0], set(range(len(op.bodies[0].outputs))), inner)[0], set()
    if op.kind == "experts":
        experts = (_body(body, {0}, f"{inner}{i}.")[0] for i, body in enumerate(copies(op)))
        return set().union(*experts), set(range(len(op.inputs)))
    if op.kind == "loop":
        found, _ = _body(op.bodies[0], {0, 1}, f"{inner}0.")
        return found, set(range(len(op.inputs)))
    if op.kind in ("repeat", "stages"):
        return _stack(op, ports, inner)
    own = {
        path + op.name if op.kind == "parameter" else inner + parameter.name
        for parameter in op.parameters
        if parameter.buffer != "i64"  # how many batches were seen is told to training only
    }
    return own, set(range(len(op.inputs)))


def _stack(op: Op, ports: set[int], path: str) -> Found:
    """Block by block from the last: what a block must give is what is wanted of the stack, what the next block reads and, where
    samples may leave, what the head looks at."""
    carried = op.attributes["carried"]
    functions = len(op.attributes.get("given", ()))  # the head, a readout, ...
    seen = set(op.attributes.get("seen", (0,))) if op.kind == "stages" else set()
    asked = {i for i in seen if i < carried}
    answers = op.kind == "stages" and any(port >= carried for port in ports)
    left = {port for port in ports if port < carried}  # a sample's values at its exit
    wanted = left | (asked if answers else set())
    parameters: set[str] = set()
    shared: set[int] = set()
    for index, body in reversed(tuple(enumerate(copies(op)))):
        found, inputs = _body(body, wanted, f"{path}{index}.")
        parameters |= found
        shared |= {i for i in inputs if i >= carried}
        wanted = {i for i in inputs if i < carried} | (left | asked if op.kind == "stages" else set())
    return parameters, set(range(functions)) | {functions + i for i in wanted | shared | seen}


def _body(body: Graph, ports: set[int], path: str) -> Found:
    outputs = list(body.outputs.values())
    return _live(body, [outputs[i] for i in ports], path)
