"""Which parameters decide a graph's outputs. The file must hold these; what decides nothing may be missing from it.

Computed on the intermediate graph, so that it does not depend on what a tracer happened to see.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Stations:
    """Which parameters each file of a model in stages must hold: the beginning at least these, each exit exactly these."""

    beginning: set[str]
    exits: tuple[set[str], ...]


def asked_at_exits(graph: Graph) -> set[str]:
    """The parameters that decide where a sample leaves: of heads, readouts and halting units that stacks and loops ask."""
    found: set[str] = set()
    for chain in _stacks(graph, ""):
        op = chain[-1][1]
        given = dict(zip(op.attributes["given"], op.inputs, strict=False))
        for name, parameters in _asked(chain, given).items():
            found |= parameters if name != "readout" else set()
    return found | set(_halting_units(graph, ""))


def _halting_units(graph: Graph, path: str, inside: bool = False) -> Iterator[str]:
    """Of loops of adaptive computation time: what says after a step how likely each token is to halt."""
    for op in graph.ops:
        if inside and op.name == "halting":
            yield from (f"{path}{op.name}.{parameter.name}" for parameter in op.parameters)
        for index, body in enumerate(copies(op)):
            number = f"{index}." if op.kind in ("repeat", "stages", "loop", "experts", "functions") else ""
            yield from _halting_units(body, f"{path}{op.name}.{number}", inside or op.kind == "loop")


def live_by_stage(graph: Graph) -> Stations:
    """The parameters on which the inputs of the graph's halting stack depend, and those of each of its exits."""
    chain = next(_stacks(graph, ""))
    (_, op, path), carried = chain[-1], chain[-1][1].attributes["carried"]
    given = dict(zip(op.attributes["given"], op.inputs, strict=False))
    blocks = tuple(copies(op))
    ends = (*(op.attributes.get("after") or range(1, len(blocks))), len(blocks))
    asked = _asked(chain, given)
    exits = []
    for number, (start, end) in enumerate(zip((0, *ends), ends, strict=False)):
        last = number == len(ends) - 1
        seen = asked.get("readout", set()) if "head" in given or not last else set()
        own = {name for name in asked.get("heads", set()) if name.startswith(f"{path}exit_heads.{number}.")}
        head = own if "heads" in given and not last else asked.get("head", set())
        wanted, found = set(range(carried)), seen | head | (set() if last else asked.get("unit", set()))
        for index in reversed(range(start, end)):
            parameters, inputs = _body(blocks[index], wanted, f"{path}{op.name}.{index}.")
            found, wanted = found | parameters, {i for i in inputs if i < carried} | wanted
        exits.append(found)
    entering = [*op.inputs[len(given) :], *(value for name, value in given.items() if name == "budget")]
    return Stations(_leading_to(chain, entering), tuple(exits))


def _asked(chain: Chain, given: Mapping[str, Value]) -> dict[str, set[str]]:
    """The parameters of what a stack is given to ask at its exits, by role."""
    inner, op, path = chain[-1]
    asked = {name: _leading_to(chain, [value]) for name, value in given.items() if name != "budget"}
    if "readout" in given:
        made = next(each for each in inner.ops if given["readout"] in each.outputs)
        ports = range(1 if op.attributes.get("returned") else 0, len(made.bodies[0].outputs))
        asked["readout"] = _body(made.bodies[0], set(ports), f"{path}{made.name}.")[0]
    return asked


Chain = list[tuple[Graph, Op, str]]  # graphs inside of one another, the op of each that holds the next, and the path


def _stacks(graph: Graph, path: str) -> Iterator[Chain]:
    for op in graph.ops:
        if op.kind == "stages":
            yield [(graph, op, path)]
        elif op.kind == "call":
            for chain in _stacks(op.bodies[0], f"{path}{op.attributes.get('shares', op.name)}."):
                yield [(graph, op, path), *chain]


def _leading_to(chain: Chain, values: Iterable[Value]) -> set[str]:
    """The parameters on which values of the innermost graph depend."""
    found: set[str] = set()
    for depth in reversed(range(len(chain))):
        graph, _, path = chain[depth]
        parameters, positions = _live(graph, values, path)
        found |= parameters
        values = [chain[depth - 1][1].inputs[i] for i in positions] if depth else []
    return found
