"""What clients write, as the session takes it, and results as JSON.

    {"inputs": {"image": {"base64": "iVBORw0..."}, "text": "which digit is this?"}}

A value is a text; numbers, in lists; null for what is absent; {"base64": file}, the bytes of a picture, clip or sound; or
{"raw": bytes, "shape": [...]}: numbers as little-endian bytes of the contract's type, in base64, rows first. Beside the inputs
stand "tokens" and "stream" where a text is written.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmspec.reading.files import Array
from mmspec.runtime.ports import BadRequest, Contract, Port
from mmspec.runtime.samples import LONGEST_NAME
from mmspec.runtime.session import Result

FORMS = 'a text, numbers, null, {"base64": ...} or {"raw": ..., "shape": [...]}'


class Malformed(Exception):
    """A body that is no request."""


def request_of(
    body: bytes, contract: Contract, also: Sequence[str] = ()
) -> tuple[dict[str, object], Mapping[str, object]]:
    """Inputs by name, and what else is said, of what may be.   Raises Malformed; BadRequest: a value is none"""
    if not body:
        raise Malformed("the body is empty")
    try:
        told = json.loads(body, object_pairs_hook=_once)  # NaN is let through: the contract's check says whose it is
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    form = ", ".join(['{"inputs": {...}', *(f'"{name}": ...' for name in also)]) + "}"
    if not isinstance(told, dict) or not isinstance(told.get("inputs"), dict):
        raise Malformed(f"the body is {form}, inputs by the names of the contract")
    for name in told.keys() - {"inputs", *also}:
        raise Malformed(f"there is no {name[:LONGEST_NAME]!r} beside the inputs; the body is {form}")
    return {name: _value(name, value, contract) for name, value in told.pop("inputs").items()}, told


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"{twice[:LONGEST_NAME]!r} is said twice")
    return found


def reply_of(result: Result) -> dict[str, Any]:
    """JSON has no infinite numbers: they are null."""
    outputs = {name: _listed(array) for name, array in result["outputs"].items()}
    return {"outputs": outputs, "answers": result["answers"]}


def _value(name: str, value: object, contract: Contract) -> object:
    if not isinstance(value, dict):
        return value
    if set(value) == {"base64"}:
        return _bytes(name, value["base64"])
    if set(value) == {"raw", "shape"} and name in contract.inputs:
        return _raw(contract.inputs[name], value)
    raise BadRequest(name, f"is {FORMS}")


def _raw(port: Port, value: Mapping[str, object]) -> Array:
    content, shape = _bytes(port.name, value["raw"]), value["shape"]
    dtype = np.dtype(port.dtype).newbyteorder("<")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise BadRequest(port.name, "its shape is a list of whole numbers")
    if len(shape) != len(port.dims) - 1 or any(
        size > len(content) for size in shape
    ):  # nor are huge numbers multiplied
        raise BadRequest(port.name, f"has {len(content):,} bytes, and a shape that is not the model's, or larger")
    if len(content) != math.prod(shape) * dtype.itemsize:
        wanted = f"{math.prod(shape) * dtype.itemsize:,} of {port.dtype}{shape}"
        raise BadRequest(port.name, f"has {len(content):,} bytes, not the {wanted}")
    if port.dtype == "bool":  # a byte that is neither 0 nor 1 is no truth value to every runtime
        return np.frombuffer(content, np.uint8).reshape(shape).astype(bool)
    return np.frombuffer(content, dtype).reshape(shape)


def _bytes(name: str, value: object) -> bytes:
    try:
        return base64.b64decode(value, validate=True)  # type: ignore[arg-type]  # what is no text is a TypeError
    except (binascii.Error, TypeError, ValueError):
        raise BadRequest(name, "not base64") from None


def _listed(array: Array) -> Any:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        listed = array.astype(object)
        listed[~np.isfinite(array)] = None
        return listed.tolist()
    return array.tolist()
