"""What clients write, as the session takes it, and results as JSON.

    {"inputs": {"image": {"base64": "iVBORw0..."}, "text": "which digit is this?"}}

A value is a text; numbers, in lists; null for what is absent; {"base64": file}, the bytes of a picture, clip or sound; or
{"raw": bytes, "shape": [...]}: numbers as little-endian bytes of the contract's type, in base64, rows first.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmspec.reading.files import Array
from mmspec.runtime.ports import BadRequest, Contract, Port
from mmspec.runtime.session import Result

FORMS = 'a text, numbers, null, {"base64": ...} or {"raw": ..., "shape": [...]}'


def request_of(body: bytes, contract: Contract) -> dict[str, object]:
    """Inputs by name.   Raises ValueError: not JSON, or not of this form; BadRequest: a value is not."""
    try:
        told = json.loads(body)  # NaN is let through: the contract's check says whose it is
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the body is not JSON: {error}") from error
    if not isinstance(told, dict) or set(told) != {"inputs"} or not isinstance(told["inputs"], dict):
        raise ValueError('the body is {"inputs": {...}}, values by the names of the contract')
    return {name: _value(name, value, contract) for name, value in told["inputs"].items()}


def reply_of(result: Result) -> dict[str, Any]:
    """JSON has no infinite numbers: they are null."""
    outputs = {name: _listed(array) for name, array in result["outputs"].items()}
    return {"outputs": outputs, "answers": result["answers"]}


def schema_of(contract: Contract) -> dict[str, Any]:
    """The JSON Schema of a body, for OpenAPI."""
    inputs = {name: _schema(port, contract) for name, port in contract.inputs.items()}
    required = [name for name in inputs if name not in contract.masks]
    fields = {"type": "object", "properties": inputs, "required": required, "additionalProperties": False}
    return {"type": "object", "properties": {"inputs": fields}, "required": ["inputs"], "additionalProperties": False}


def _schema(port: Port, contract: Contract) -> dict[str, Any]:
    told = contract.told["inputs"][port.name]
    sizes = [
        f"{dim}: {contract.dims[dim][0]} to {contract.dims[dim][1]}" for dim in port.dims[1:] if isinstance(dim, str)
    ]
    shape = f"{port.dtype}[{', '.join(map(str, port.dims[1:]))}]"
    return {"description": "; ".join([f"{told['meaning']}: {shape}", *sizes, FORMS])}


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
