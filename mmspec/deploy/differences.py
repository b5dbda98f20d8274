"""How far a file's answers are from the module's, sample by sample: answers of many tokens are large, and no more than one sample's
are held in float64 at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from torch import Tensor

from mmspec.deploy.contract import Contract
from mmspec.deploy.file import Arrays
from mmspec.deploy.target import Tolerance, Verify


def beyond(wanted: np.ndarray, found: np.ndarray, allowed: Tolerance, batch: int) -> np.ndarray:
    """Samples with a number that is further off than allowed, or is none.   [B V, ...] x 2 -> bool[B]"""

    def within(error: np.ndarray, size: np.ndarray) -> bool:
        return bool((error <= np.maximum(allowed.absolute, allowed.relative * size)).all())

    return np.array([not within(*each) for each in _samples(wanted, found, batch)])


def largest(wanted: np.ndarray, found: np.ndarray, batch: int) -> np.ndarray:
    """The largest absolute difference of each sample, whose views lie side by side.   [B V, ...] x 2 -> f64[B]"""
    return np.array([error.max(initial=0) for error, _ in _samples(wanted, found, batch)])


def _samples(wanted: np.ndarray, found: np.ndarray, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each sample the absolute differences and the sizes of what is wanted."""
    for a, b in zip(wanted.reshape(batch, -1), found.reshape(batch, -1), strict=True):
        exact = a.astype(np.float64)
        yield np.abs(exact - b), np.abs(exact)


def worst(wanted: Arrays, found: Arrays, contract: Contract, wrong: np.ndarray, verify: Verify) -> tuple[str, str]:
    """The output that differs most plainly in the samples that are `wrong`, and how: exits before numbers."""
    for port in sorted(contract.outputs, key=lambda port: port.dtype == "float32"):
        a, b, batch = wanted[port.name], found[port.name], len(wrong)
        error = np.where(wrong, largest(a, b, batch), 0)
        sample = int(np.nanargmax(np.where(np.isnan(error), np.inf, error)))
        if port.dtype != "float32" and error.any():
            told = f"{int((error != 0).sum())} of {batch} samples differ, such as sample {sample}"
            return port.name, f"{told}: {b[sample]} where torch says {a[sample]}"
        allowed = verify.of(port.name, port.dtype)
        if (wrong & beyond(a, b, allowed, batch)).any():
            told = f"{allowed.absolute:g} is allowed, or {allowed.relative:g} of the number"
            return port.name, f"off by {error[sample]:.3g} at sample {sample}, where {told}"
    raise AssertionError("a mismatch without a difference")


def as_arrays(outputs: Mapping[str, Tensor]) -> Arrays:
    return {name: value.numpy() for name, value in outputs.items()}


def joined(answers: Iterable[Arrays]) -> Arrays:
    """Answers to one sample each, as the answer to the batch."""
    given = list(answers)
    return {name: np.concatenate([answer[name] for answer in given]) for name in given[0]}
