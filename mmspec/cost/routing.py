"""What experts cost: of each layer of them, work, weights that are read, and how evenly they are used.

A token meets expert e with probability p_e = k l_e, l_e its share of the choices. Of T tokens, N of each of n samples,

    touched = sum_e 1 - (1 - rho + rho (1 - p_e)^N)^n        experts that are read at least once; sum_e 1 - (1 - p_e)^T for rho = 1

where rho is the probability that a sample comes to the layer at all: of n samples, a binomial number does. With even loads and
rho = 1 this is E (1 - (1 - k / E)^T), the most that it can be. Tokens are taken to choose independently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from mmspec.cost.flops import Sizes, flops
from mmspec.cost.halting import reach
from mmspec.errors import UserError
from mmspec.ir import Graph, Op, product
from mmspec.ir.found import found_once
from mmspec.ir.graph import copies, parameter_count

WEIGHT_BYTES = 4  # float32


@dataclass(frozen=True)
class ExpertsPrice:
    """One layer of experts.

    tokens       T, that are sent at this batch if no sample has left before: padding too, or samples where whole ones are sent
    flops        of each expert, for one token
    parameters   of each expert
    load         its share of the choices; None: not known
    reached      rho, the share of samples that come here; None: not known
    """

    module: str
    k: int
    tokens: int
    samples: int
    flops: tuple[int, ...]
    parameters: tuple[int, ...]
    load: tuple[float, ...] | None = None
    source: str | None = None
    reached: float | None = 1.0

    @property
    def count(self) -> int:
        return len(self.flops)

    @property
    def touched_evenly(self) -> float:
        return self.count * _met(min(1.0, self.k / self.count), self.tokens, 1, 1.0)

    @property
    def touched(self) -> list[float] | None:
        """Of each expert, the probability that it is read."""
        if self.load is None or self.reached is None:
            return None
        each = self.tokens / self.samples
        return [_met(min(1.0, self.k * share), each, self.samples, self.reached) for share in self.load]

    @property
    def imbalance(self) -> float | None:
        """The largest load over the mean: 1 where all are used alike, up to the number of experts."""
        return max(self.load) * self.count / sum(self.load) if self.load and sum(self.load) else None

    def to_dict(self) -> dict[str, Any]:
        touched, even = self.touched, self.touched_evenly
        bytes_each = [WEIGHT_BYTES * number for number in self.parameters]
        work = None
        if self.load is not None and self.reached is not None:
            sent = self.reached * self.k * self.tokens
            work = [sent * share * each for share, each in zip(self.load, self.flops, strict=True)]
        moved = None if touched is None else sum(p * size for p, size in zip(touched, bytes_each, strict=True))
        return {
            "module": self.module, "experts": self.count, "k": self.k, "tokens": self.tokens,
            "flops_per_token": list(self.flops), "expected_flops": work, "parameters": list(self.parameters),
            "load": None if self.load is None else list(self.load), "source": self.source, "imbalance": self.imbalance,
            "touched": {"expected": None if touched is None else sum(touched), "even_load": even},
            "weight_bytes": {"expected": moved, "even_load": even * sum(bytes_each) / self.count, "all": sum(bytes_each)},
        }  # fmt: skip


def _met(chance: float, tokens: float, samples: int, reached: float) -> float:
    return float(1.0 - (1.0 - reached + reached * (1.0 - chance) ** tokens) ** samples)


@dataclass(frozen=True)
class Known:
    """Loads by module, or by the beginning of modules' names; and where they come from."""

    loads: Mapping[str, Sequence[float]]
    source: str

    def of(self, module: str) -> tuple[str, Sequence[float]] | None:
        """Under the longest name that the module's begins with."""
        names = [name for name in self.loads if f"{module}.".startswith(f"{name}.")]
        return (best := max(names, key=len), self.loads[best]) if names else None


def experts_of(
    graph: Graph, sizes: Sizes, rates: Mapping[str, Sequence[float]], known: Sequence[Known]
) -> tuple[ExpertsPrice, ...]:
    """Of each layer of experts its price; of `known` loads the first that has a layer's is taken.

    Raises   UserError: loads that are no distribution over a layer's experts, or that name no layer
    """
    alone = cache(lambda op: _alone(op, sizes))
    layers: list[ExpertsPrice] = []
    named: set[str] = set()
    for module, op, stage in _layers(graph):
        layer = replace(alone(op), module=module)
        if stage is not None:
            node = module.partition(".")[0]
            known_there = node in rates and stage >= 0
            layer = replace(layer, reached=reach(rates[node])[stage] if known_there else None)
        for each in known:
            if found := each.of(module):
                name, load = found
                named.add(name)
                if layer.load is None:
                    layer = replace(layer, load=_checked(module, name, load, layer, each.source), source=each.source)
        layers.append(layer)
    for each in known:
        if each.source == "stated" and (unknown := [name for name in each.loads if name not in named]):
            have = ", ".join(layer.module for layer in layers) or "none"
            raise UserError(f"expert loads name {unknown[0]!r}, which has no experts; modules that have: {have}")
    return tuple(layers)


def _alone(op: Op, sizes: Sizes) -> ExpertsPrice:
    """Everything about a layer but its name, its loads and who comes there."""
    tokens, samples = product(sizes(op.inputs[0])[:-1]), sizes.sizes["B"]
    assert isinstance(tokens, int)
    works, parameters = [], []
    for body in op.bodies:
        work, rows = flops(body, sizes).own, sizes(body.inputs[0])[0]
        assert isinstance(work, int) and isinstance(rows, int)
        works.append(work // rows)
        parameters.append(parameter_count(body))
    order = [op.bodies.index(body) for body in copies(op)]
    k = op.attributes["met"]
    return ExpertsPrice("", k, tokens, samples, tuple(works[i] for i in order), tuple(parameters[i] for i in order))


@found_once
def _layers(graph: Graph) -> tuple[tuple[str, Op, int | None], ...]:
    """Every layer of experts by its module's name in here, and the stage that it belongs to where samples may leave."""
    found: list[tuple[str, Op, int | None]] = []
    for op in graph.ops:
        if op.kind == "experts":
            found.append((op.name, op, None))
        for index, body in enumerate(copies(op)):
            here = op.name if op.kind in ("call", "define") else f"{op.name}.{index}"
            staged = None
            if op.kind in ("stages", "loop"):  # in a loop the same experts are met at every step
                ends = op.attributes.get("after") or range(1, op.attributes["count"])
                staged = sum(end <= index for end in ends) if op.kind == "stages" else -1
            found += ((f"{here}.{path}", layer, staged if at is None else at) for path, layer, at in _layers(body))
    return tuple(found)


def _checked(module: str, name: str, load: Sequence[float], layer: ExpertsPrice, source: str) -> tuple[float, ...]:
    """What was dropped is missing from measured loads; stated ones are whole."""
    least = 1 - 1e-6 if source == "stated" else 0.0
    said = ", ".join(f"{share:g}" for share in load)
    if len(load) != layer.count or min(load) < 0 or not least <= sum(load) <= 1 + 1e-6:
        raise UserError(f"expert loads of {name} must be {layer.count} shares that sum to 1 for {module}, not {said}")
    if max(load) * layer.k > 1 + 1e-6:
        most = f"a token meets {layer.k} different experts, so none gets more than 1/{layer.k} of the choices"
        raise UserError(f"expert loads of {name} are {said}, but {most}")
    return tuple(load)
