"""What a caller of the file may rely on: inputs and outputs by name, type and dimensions, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmspec.cost.budgets import most_spent
from mmspec.deploy.target import Size, Target, Verify
from mmspec.ir import Dim, Graph, Value
from mmspec.ir.placeholders import Placeholder, placeholders
from mmspec.spec import ModelSpec
from mmspec.spec.diagnostics import SpecError, did_you_mean, listing

DTYPES = {"f32": "float32", "i64": "int64", "bool": "bool"}


@dataclass(frozen=True)
class Port:
    """An input or output; a dimension is a number, or a name (of an output also a sum: "text_length + 16")."""

    name: str
    dtype: str
    dims: tuple[int | str, ...]
    meaning: str
    bound: int = 0  # ids are below it, and a budget is of that order
    places: tuple[Placeholder, ...] = ()  # ids that every sample has so many of


@dataclass(frozen=True)
class Range:
    """What a named dimension may be, and the size that is traced."""

    low: int
    high: int
    example: int


@dataclass(frozen=True)
class Contract:
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    dims: Mapping[str, Range]

    @property
    def batch_limit(self) -> int:
        """The largest batch."""
        fixed = self.inputs[0].dims[0]
        return fixed if isinstance(fixed, int) else self.dims[fixed].high

    def batch(self, wanted: int) -> int:
        """The batch that is nearest to the one that is wanted."""
        fixed = self.inputs[0].dims[0]
        return fixed if isinstance(fixed, int) else min(max(wanted, self.dims[fixed].low), self.dims[fixed].high)

    def to_dict(
        self,
        verify: Verify,
        thresholds: Mapping[str, Sequence[float]] | None = None,
        preprocessing: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """What contract.json holds. `thresholds` by halting stack; `preprocessing` by input, how training read it."""
        masks = {port.name for port in self.inputs if port.dtype == "bool"}

        def told(port: Port) -> dict[str, Any]:
            more: dict[str, Any] = {"below": port.bound} if port.bound else {}
            if port.places:
                more["places"] = [{"id": place.id, "count": place.count} for place in port.places]
            if f"{port.name}_mask" in masks:
                more["mask"] = f"{port.name}_mask"
            if port.name in (preprocessing or {}):
                more["preprocessing"] = preprocessing[port.name]  # type: ignore[index]
            return {"dtype": port.dtype, "dims": list(port.dims), "meaning": port.meaning, **more}

        return {
            "format": 1,
            "dims": {name: {"min": size.low, "max": size.high} for name, size in self.dims.items()},
            "inputs": {port.name: told(port) for port in self.inputs},
            "outputs": {
                port.name: told(port) | {"tolerance": verify.of(port.name, port.dtype)._asdict()}
                for port in self.outputs
            },
            "thresholds": {stack: list(values) for stack, values in (thresholds or {}).items()},
        }


def contract_of(spec: ModelSpec, graph: Graph, target: Target) -> Contract:
    """The contract of a serving graph: `B` is called batch, the length of a text after its input."""
    names = names_of(graph)
    sizes = {"B": target.shapes.batch} | dict.fromkeys(graph.limits, target.shapes.length)
    places = tuple(placeholders(graph))
    least = {f"{name}_length": sum(p.count for p in places if p.input == name) for name in {p.input for p in places}}
    dims = {name: _range(sizes[symbol], graph.limits.get(symbol), least.get(name, 0)) for symbol, name in names.items()}
    fixed = {name: size.low for name, size in dims.items() if size.low == size.high}

    budgets = most_spent(graph)

    def port(value: Value, name: str, meaning: str) -> Port:
        shape = tuple(named_dim(dim, names, fixed) for dim in value.shape)
        bound = value.bound or budgets.get(name, 0)
        return Port(name, DTYPES[value.dtype], shape, meaning, bound, tuple(p for p in places if p.input == name))

    inputs = tuple(port(value, value.name, _input(spec, value.name)) for value in graph.inputs)
    outputs = tuple(port(value, name, _output(spec, name)) for name, value in graph.outputs.items())
    return Contract(inputs, outputs, {name: size for name, size in dims.items() if name not in fixed})


def check_named(target: Target, contract: Contract) -> None:
    """Raise SpecError where the target says what an output may be off by that the model does not have, or that is no number."""
    numbers = [port.name for port in contract.outputs if port.dtype == "float32"]
    wrong = [
        target.diagnostic(
            ("verify", "outputs", name),
            f"no output {name!r} of numbers{did_you_mean(name, numbers)}",
            f"outputs of numbers are: {listing(numbers)}",
        )
        for name in target.verify.outputs
        if name not in numbers
    ]
    if wrong:
        raise SpecError(wrong)


def names_of(graph: Graph) -> dict[str, str]:
    """The name of each symbol in a contract."""
    names = {"B": "batch"}
    for value in graph.inputs:
        for dim in value.shape:
            if not isinstance(dim, int) and str(dim) not in names:
                names[str(dim)] = f"{value.name}_length"
    return names


def terms(dim: int | str) -> tuple[int | str, ...]:
    """What a dimension is the sum of: "text_length + 16" -> ("text_length", 16)"""
    if isinstance(dim, int):
        return (dim,)
    return tuple(int(term) if term.isdigit() else term for term in dim.split(" + "))


def _range(size: Size, limit: int | None, least: int = 0) -> Range:
    high = min(bound for bound in (size.max, limit) if bound is not None)
    low = min(max(size.min, least), high)
    # torch takes 1 for a constant, and may take the limit itself for one
    return Range(low, high, max(low, min(size.example, high - 1), min(2, high)))


def named_dim(dim: Dim, names: Mapping[str, str], fixed: Mapping[str, int]) -> int | str:
    """ "B" -> "batch", "N + 16" -> "text_length + 16" """
    if isinstance(dim, int):
        return dim
    sizes = {symbol: fixed[name] for symbol, name in names.items() if name in fixed}
    bound = dim.bind(sizes)
    if isinstance(bound, int):
        return bound
    parts = str(bound).split(" ")
    return " ".join("*".join(names.get(factor, factor) for factor in part.split("*")) for part in parts)


def _input(spec: ModelSpec, name: str) -> str:
    if name in spec.inputs:
        return _summary(spec.inputs[name])
    text = name.removesuffix("_mask")
    return f"True where a token of {text} is present; a row without any is a sample whose {text} is absent"


def _output(spec: ModelSpec, name: str) -> str:
    if name in spec.heads:
        return _summary(spec.heads[name])
    if name.endswith(".exit"):
        return f"the exit at which each sample left its stack, from 0, as {name.removesuffix('.exit')} was judged there"
    return f"what the node {name} gives"


def _summary(component: object) -> str:
    """The first sentence of a component's own words, as part of another sentence."""
    text = " ".join((type(component).__doc__ or "").split("\n\n")[0].split()).split(". ")[0].rstrip(".")
    return text[:1].lower() + text[1:]
