"""What OpenAPI says of a body and its answer: JSON Schemas from the contract, and an example that is answered when it is sent."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from mmspec.reading.clips import ClipColumn
from mmspec.reading.columns import Column
from mmspec.reading.sounds import WaveformColumn
from mmspec.runtime import BadRequest, Session
from mmspec.runtime.ports import Contract, Port

Schema = dict[str, Any]
JSON = {"float32": "number", "int64": "integer", "bool": "boolean"}
LONGEST = 4096  # bytes of an example's array: a page is to be read
EXAMPLES = ("a text", "a", "0")  # the first that an input takes
TEXT: Schema = {"type": "string", "description": "as it was read in training"}
FILE: Schema = {
    "type": "object",
    "description": "the bytes of a file, in base64",
    "properties": {"base64": {"type": "string", "format": "byte"}},
    "required": ["base64"],
    "additionalProperties": False,
}
RAW: Schema = {
    "type": "object",
    "description": "numbers as little-endian bytes of that type, in base64, rows first",
    "properties": {
        "raw": {"type": "string", "format": "byte"},
        "shape": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["raw", "shape"],
    "additionalProperties": False,
}
ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "input": {"type": "string", "description": "which field is wrong, where it is one"},
                "message": {"type": "string"},
            },
            "required": ["message"],
        }
    },
    "required": ["error"],
}


def predicting(session: Session) -> tuple[Schema, Schema]:
    """Of /v1/predict: the body, and its answer, as media types of OpenAPI."""
    contract = session.contract
    outputs = {name: {"description": _told(contract, port, "outputs")} for name, port in contract.outputs.items()}
    answers = "by head what it says, in the words of the data that the model was trained with"
    answer = _fields({"outputs": _fields(outputs), "answers": {"type": "object", "description": answers}})
    return _body(session, {}), {"schema": answer}


def writing(session: Session, most: int) -> tuple[Schema, Schema]:
    """Of /v1/write, likewise."""
    tokens = {"type": "integer", "minimum": 1, "maximum": most, "default": most, "description": "written at most"}
    stream = {"type": "boolean", "default": False, "description": "a server-sent event for each token"}
    said = {
        "text": {"type": "string", "description": "how the text goes on"},
        "ids": {"type": "array", "items": {"type": "integer"}},
        "ended": {"type": "boolean", "description": "the model says that the text ends there"},
    }
    return _body(session, {"tokens": tokens, "stream": stream}), {"schema": _fields(said, required=("ids", "ended"))}


def _body(session: Session, also: Mapping[str, Schema]) -> Schema:
    contract = session.contract
    inputs = {name: _input(session, port) for name, port in contract.inputs.items()}
    begun = session.preprocessing.begun if session.preprocessing else ()
    required = [name for name in inputs if name not in contract.masks and name not in begun]
    body: Schema = {
        "schema": _fields({"inputs": _fields(inputs, required, closed=True), **also}, ["inputs"], closed=True)
    }
    example = example_of(session)
    return body if example is None else body | {"example": {"inputs": example}}


def _fields(fields: Mapping[str, Any], required: Any = None, closed: bool = False) -> Schema:
    needed = list(fields) if required is None else list(required)
    return {"type": "object", "properties": dict(fields), "required": needed} | (
        {"additionalProperties": False} if closed else {}
    )


def _input(session: Session, port: Port) -> Schema:
    column, forms = _column(session, port), list[Schema]()
    if column is not None:
        forms.append(FILE if column.is_file else TEXT)
    numbers: Schema = {"type": JSON[port.dtype]}
    for _ in port.dims[1:]:
        numbers = {"type": "array", "items": numbers}
    forms += [numbers, RAW]
    if port.mask or port.name in session.contract.masks:
        forms.append({"type": "null", "description": "absent" if port.mask else "all are present"})
    return {"description": _told(session.contract, port, "inputs"), "anyOf": forms}


def _told(contract: Contract, port: Port, side: str) -> str:
    sizes = [
        f"{dim}: {contract.dims[dim][0]} to {contract.dims[dim][1]}"
        for dim in port.dims[1:]
        if isinstance(dim, str) and dim in contract.dims
    ]
    shape = f"{port.dtype}[{', '.join(map(str, port.dims[1:]))}]"
    return "; ".join([f"{contract.told[side][port.name]['meaning']}: {shape}", *sizes])


def example_of(session: Session) -> dict[str, Any] | None:
    """Inputs as JSON, or None: they would be too long for a page."""
    found = {}
    begun = session.preprocessing.begun if session.preprocessing else ()
    for name, port in session.contract.inputs.items():
        if name in session.contract.masks or name in begun:
            continue
        column = _column(session, port)
        found[name] = _numbers(session.contract, port) if column is None else _cell(session, name, column)
        if found[name] is None:
            return None
    return found


def _column(session: Session, port: Port) -> Column | None:
    return session.preprocessing.columns.get(port.name) if session.preprocessing else None


def _numbers(contract: Contract, port: Port) -> Any:
    """Ids that are no places, as few as there may be; else zeros, or a budget of the model's order."""
    if len(port.dims) == 1:
        return port.below
    sizes = [contract.dims[dim][0] if isinstance(dim, str) else dim for dim in port.dims[1:]]
    if port.dtype == "int64":
        places = [id for id, count in port.places for _ in range(count)]
        return [*places, *[port.fill] * max(sizes[0] - len(places), 1)]
    array = np.zeros(sizes, port.dtype)
    if array.nbytes > LONGEST:
        return None
    return {"raw": base64.b64encode(array.tobytes()).decode(), "shape": sizes}


def _cell(session: Session, name: str, column: Column) -> Any:
    if column.is_file:
        return {"base64": base64.b64encode(_file(column)).decode()}
    assert session.preprocessing is not None
    for text in EXAMPLES:
        try:
            session.preprocessing.example(name, text)
        except (ValueError, BadRequest):
            continue
        return text
    return None


def _file(column: Column) -> bytes:
    """The smallest that the column reads: a sample of silence, a pixel, two moments of one."""
    file = io.BytesIO()
    if isinstance(column, WaveformColumn):
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(column.rate)
            sound.writeframes(bytes(2))
    elif isinstance(column, ClipColumn):
        first, second = (Image.new("L", (1, 1), shade) for shade in (0, 255))
        first.save(file, "GIF", save_all=True, append_images=[second])
    else:
        Image.new("L", (1, 1), 255).save(file, "PNG")
    return file.getvalue()
