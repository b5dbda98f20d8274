"""A request becomes a sample; samples become a batch, the shorter texts filled up; and what a batch gives is told apart again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from io import BytesIO
from pathlib import Path

import numpy as np

from mmspec.reading.columns import Column
from mmspec.reading.files import Array
from mmspec.reading.preprocessing import Preprocessing, describe
from mmspec.runtime.ports import BATCH, BadRequest, Contract, Port

CHARACTERS = (
    64  # of a text for each token that there may be: tokenizers take seconds for millions, and hold up all else
)
LONGEST_NAME = 80  # of an input's name, told back to who misspelt it


@dataclass(frozen=True)
class Sample:
    """One request, read and checked.   arrays by input, without the batch; sizes by name"""

    arrays: Mapping[str, Array]
    sizes: Mapping[str, int]


def sample_of(request: Mapping[str, object], contract: Contract, known: Preprocessing | None) -> Sample:
    """A request as a sample.

    request  by input: numbers as the contract has them, without the batch; what the package can read (a text as str; a picture,
             clip or sound as the bytes of its file, or as a Path); None for a text that is absent. A str is never taken for a
             path. Masks may be left out, and a text that is written where it has a start.

    Raises   BadRequest: an input is unknown, missing, unreadable, or not what the contract says.
    """
    if not isinstance(request, Mapping):
        raise BadRequest("request", "it is inputs by name")
    for name in request:
        if name not in contract.inputs:
            short = str(name)[:LONGEST_NAME]
            near = get_close_matches(short, contract.inputs, 1)
            hint = f"did you mean {near[0]}?" if near else f"the inputs are: {', '.join(contract.inputs)}"
            raise BadRequest(short, f"there is no such input; {hint}")
    request = {**dict.fromkeys(known.begun if known else (), ""), **request}
    masks = contract.masks
    arrays: dict[str, Array] = {}
    for name, port in contract.inputs.items():
        if name in masks:
            continue
        if name not in request:
            absent = "; null if it is absent" if port.mask else ""
            raise BadRequest(name, f"missing{absent}")
        value = request[name]
        arrays[name] = _absent(contract, port) if value is None else _present(contract, port, value, known)
        if port.mask:
            arrays[port.mask] = _mask(contract, port, arrays[name], request)
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        for dim, size in zip(contract.inputs[name].dims[1:], array.shape, strict=True):
            if isinstance(dim, str) and sizes.setdefault(dim, size) != size:
                raise BadRequest(name, f"its {dim} is {size}, where that of another input is {sizes[dim]}")
    return Sample({name: arrays[name] for name in contract.inputs}, sizes)


def plain(contract: Contract) -> Sample:
    """The shortest there is, all zeros: something to run before the first request comes."""
    request: dict[str, object] = {}
    for name, port in contract.inputs.items():
        shape = [contract.dims[dim][0] if isinstance(dim, str) else dim for dim in port.dims[1:]]
        if port.mask:
            request[name] = None
        elif name not in contract.masks:
            request[name] = np.zeros(shape, port.dtype)
    return sample_of(request, contract, None)


def batches_of(samples: Sequence[Sample], contract: Contract, most: int) -> Iterator[list[int]]:
    """Which samples go together, at most `most`: all, unless they differ in a size that a batch has only one of."""
    groups: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for number, sample in enumerate(samples):
        key = tuple(item for item in sample.sizes.items() if item[0] not in contract.ragged)
        groups.setdefault(key, []).append(number)
    for group in groups.values():
        yield from (group[start : start + most] for start in range(0, len(group), most))


def stacked(samples: Sequence[Sample], contract: Contract) -> dict[str, Array]:
    """The inputs of a batch: sizes are those of the longest sample, and a batch below the least one repeats the last."""
    samples = [*samples, *[samples[-1]] * (contract.batch[0] - len(samples))]
    sizes = {dim: max(contract.dims[dim][0], *(sample.sizes[dim] for sample in samples)) for dim in samples[0].sizes}
    inputs: dict[str, Array] = {}
    for name, port in contract.inputs.items():
        shape = [sizes[dim] if isinstance(dim, str) else dim for dim in port.dims[1:]]
        fill = port.fill if port.dtype == "int64" else 0
        inputs[name] = np.full((len(samples), *shape), fill, port.dtype)
        for number, sample in enumerate(samples):
            array = sample.arrays[name]
            place: tuple[int | slice, ...] = (number, *map(slice, array.shape))
            inputs[name][place] = array
    return inputs


def apart(outputs: Mapping[str, Array], samples: Sequence[Sample], contract: Contract) -> list[dict[str, Array]]:
    """Of each sample what it would have got alone: of a text's tokens its own, of what compares the samples of a batch itself."""
    return [
        {name: outputs[name][_own(port, number, sample, contract)] for name, port in contract.outputs.items()}
        for number, sample in enumerate(samples)
    ]


def _own(port: Port, number: int, sample: Sample, contract: Contract) -> tuple[int | slice, ...]:
    place: list[int | slice] = [number]
    for dim in port.dims[1:]:
        if dim == BATCH:
            place.append(slice(number, number + 1))
        elif dim in sample.sizes:
            place.append(slice(max(sample.sizes[str(dim)], contract.dims[str(dim)][0])))
        else:
            place.append(slice(None))
    return tuple(place)


def _present(contract: Contract, port: Port, value: object, known: Preprocessing | None) -> Array:
    if not isinstance(value, str | bytes | Path):
        return contract.checked(port, value)
    column = known.columns.get(port.name) if known else None
    if column is None or known is None:
        raise BadRequest(port.name, f"the package does not say how it is read; it takes {port.dtype} numbers")
    _check_kind(port, column, value)
    longest = getattr(column, "length", None)
    if isinstance(value, str) and longest is not None and len(value) > CHARACTERS * longest:
        raise BadRequest(port.name, f"{len(value):,} characters, where the model takes {longest} tokens")
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadRequest(port.name, "half of a surrogate pair is no text")
    try:
        cell = BytesIO(value) if isinstance(value, bytes) else value
        array = column.batch([known.example(port.name, cell)])[0]
    except (OSError, ValueError) as error:
        raise BadRequest(port.name, describe(error)) from error
    return contract.fits(port, array)


def _check_kind(port: Port, column: Column, value: str | bytes | Path) -> None:
    if column.is_file and isinstance(value, str):
        raise BadRequest(port.name, "a text, where the model takes the bytes of a file, or numbers")
    if not column.is_file and not isinstance(value, str):
        raise BadRequest(port.name, "a file, where the model takes a text, or numbers")


def _absent(contract: Contract, port: Port) -> Array:
    if not port.mask:
        raise BadRequest(port.name, "may not be absent: no mask says so to the model")
    (length,) = (contract.dims[dim][0] if isinstance(dim, str) else dim for dim in port.dims[1:])
    ids = np.full(length, port.fill, np.int64)
    start = 0
    for id, count in port.places:
        ids[start : start + count] = id
        start += count
    return ids


def _mask(contract: Contract, port: Port, array: Array, request: Mapping[str, object]) -> Array:
    """As it is given; otherwise all of what is given is present, and nothing of what is not."""
    mask = contract.inputs[str(port.mask)]
    given = request.get(mask.name)
    if given is None:
        return np.full(array.shape, request[port.name] is not None)
    if not isinstance(request[port.name], np.ndarray | Sequence) or isinstance(request[port.name], str):
        raise BadRequest(mask.name, f"goes with {port.name} as numbers only")
    return contract.checked(mask, given)
