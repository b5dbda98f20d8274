"""The contract as who asks meets it: inputs and outputs by name, and whether an array is what an input takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmspec.errors import UserError
from mmspec.packaged.layout import CONTRACT
from mmspec.reading.files import Array

BATCH = "batch"
KINDS = {"float32": "iuf", "int64": "iu", "bool": "b"}  # of numpy: what may become which type unharmed
TYPES = {"float32": (int, float, np.integer, np.floating), "int64": (int, np.integer), "bool": (bool, np.bool_)}
UNEVEN = "lists of different lengths, where the model takes an array"
NOT_FINITE = "has a number that is not finite (NaN, or infinite in float32)"
WORDS = {"float32": "numbers", "int64": "whole numbers", "bool": "true and false"}


class BadRequest(UserError):
    """A request that the model cannot answer, in a line that begins with the input's name."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name, self.problem = name, problem


@dataclass(frozen=True)
class Port:
    """An input or output.   dims: sizes, and names of sizes that each request chooses, the batch first

    below   ids are below it, 0: they are no ids
    places  (id, count): ids that every sample has so many of
    mask    the input that says which of its tokens are present, if there is one
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]
    below: int = 0
    places: tuple[tuple[int, int], ...] = ()
    mask: str | None = None

    @property
    def fill(self) -> int:
        """What stands where no token is: 0, or the first id that is no place."""
        taken = {id for id, _ in self.places}
        return next(id for id in range(len(taken) + 1) if id not in taken)


@dataclass(frozen=True)
class Contract:
    """What contract.json says.   dims: least and largest size by name; told: all of it, as it is written"""

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    dims: Mapping[str, tuple[int, int]]
    told: Mapping[str, Any]

    @classmethod
    def load(cls, package: Path) -> Contract:
        """Raises   UserError: there is none, or it is not ours."""
        path = package / CONTRACT
        try:
            told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            inputs, outputs = ({n: _port(n, each) for n, each in told[side].items()} for side in ("inputs", "outputs"))
            dims = {name: (int(size["min"]), int(size["max"])) for name, size in told["dims"].items()}
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}; is this the package of an export?") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} was not written by mmspec, or was changed since: {error!r}") from error
        return cls(inputs, outputs, dims, told)

    @property
    def masks(self) -> dict[str, str]:
        """Whose tokens a mask is about, by mask."""
        return {port.mask: name for name, port in self.inputs.items() if port.mask}

    @property
    def batch(self) -> tuple[int, int]:
        """The least and the largest batch."""
        first = next(iter(self.inputs.values())).dims[0]
        return (first, first) if isinstance(first, int) else self.dims[first]

    @property
    def ragged(self) -> frozenset[str]:
        """Names of sizes that may differ between the samples of a batch: a mask hides what fills up the shorter ones, and in the
        outputs it stands at the end."""
        unmasked = {dim for port in self.inputs.values() if not port.mask and port.dtype != "bool" for dim in port.dims}
        outputs = {str(dim) for port in self.outputs.values() for dim in port.dims}
        sums = {dim for dim in self.dims for told in outputs if told != dim and dim in told.replace("*", " ").split()}
        return frozenset(self.dims) - unmasked - sums - {BATCH}

    def checked(self, port: Port, value: object) -> Array:
        """Numbers as one sample of an input: its type, its shape without the batch.   Raises BadRequest"""
        return self.fits(port, _array(port, value))

    def fits(self, port: Port, array: Array) -> Array:
        """The array, if it is one sample of that input.   Raises BadRequest"""
        wanted = port.dims[1:]
        if array.ndim != len(wanted) or any(
            isinstance(w, int) and w != n for w, n in zip(wanted, array.shape, strict=True)
        ):
            raise BadRequest(port.name, f"of shape {_told(array.shape)}, where the model takes {_told(wanted)}")
        for dim, size in zip(wanted, array.shape, strict=True):
            if isinstance(dim, str) and not 1 <= size <= self.dims[dim][1]:
                raise BadRequest(port.name, f"{dim} is {size}, where the model takes 1 to {self.dims[dim][1]}")
        if port.dtype == "float32" and not np.isfinite(array).all():
            raise BadRequest(port.name, NOT_FINITE)
        if port.dtype == "int64" and port.below and not ((array >= 0) & (array < port.below)).all():
            raise BadRequest(port.name, _ids(port))
        for id, count in port.places:
            found = int((array == id).sum())
            if found != count:
                raise BadRequest(port.name, f"has {found} places of id {id}, where the model takes {count}")
        return array


def _port(name: str, told: Mapping[str, Any]) -> Port:
    if told["dtype"] not in KINDS:
        raise ValueError(f"type {told['dtype']!r}")
    places = tuple((int(place["id"]), int(place["count"])) for place in told.get("places", ()))
    return Port(name, told["dtype"], tuple(told["dims"]), int(told.get("below", 0)), places, told.get("mask"))


def _array(port: Port, value: object) -> Array:
    try:
        array = np.asarray(value, object) if isinstance(value, list | tuple) else np.asarray(value)
    except ValueError:
        raise BadRequest(port.name, UNEVEN) from None
    if array.size == 0:
        raise BadRequest(port.name, "empty")
    if array.dtype == object:
        array = _typed(port, array)
    if array.dtype.kind not in KINDS[port.dtype]:
        raise BadRequest(port.name, f"the model takes {WORDS[port.dtype]} ({port.dtype})")
    if array.dtype.kind == "u" and port.dtype == "int64" and array.max() > np.iinfo(np.int64).max:
        raise BadRequest(port.name, _ids(port))
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and that is refused
        return array.astype(port.dtype)


def _typed(port: Port, array: Array) -> Array:
    """Of objects, the numbers that they all are. Never through numpy's own guess, by which one long text among many numbers would
    take that much room for each of them."""
    kinds = set(map(type, array.ravel()))
    if kinds & {list, tuple, np.ndarray}:
        raise BadRequest(port.name, UNEVEN)
    if not all(issubclass(kind, TYPES[port.dtype]) and (kind is not bool or port.dtype == "bool") for kind in kinds):
        raise BadRequest(port.name, f"the model takes {WORDS[port.dtype]} ({port.dtype})")
    try:
        return array.astype("float64" if port.dtype == "float32" else port.dtype)
    except OverflowError:
        raise BadRequest(port.name, _ids(port) if port.dtype == "int64" else NOT_FINITE) from None


def _ids(port: Port) -> str:
    return f"ids are from 0 to {port.below - 1}" if port.below else "a number is too large"


def _told(dims: tuple[int | str, ...]) -> str:
    return f"[{', '.join(map(str, dims))}]" if dims else "[] (a single number)"
