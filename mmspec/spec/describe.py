"""What a component has to say about itself, from its own class: for `mmspec explain`, the docs and the editor."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mmspec.spec.catalogue import type_of
from mmspec.spec.component import Component, field_names, is_concrete

_WORDS: dict[object, str] = {int: "whole number", float: "number", bool: "true or false", str: "text", NoneType: "null"}
_BOUNDS = (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"), ("multiple_of", "a multiple of"))


@dataclass(frozen=True)
class FieldDescription:
    """A key that may be written: `kind` and `bounds` in words ("whole number", "above 0"), the default as plain data."""

    key: str
    kind: str
    bounds: str
    required: bool
    default: Any
    description: str
    role: str = ""  # of a slot


@dataclass(frozen=True)
class ComponentDescription:
    """A component: `summary` is the first paragraph of its docstring, `text` all of it."""

    type: str
    role: str
    summary: str
    text: str
    fields: tuple[FieldDescription, ...]


def describe(component: type[Component]) -> ComponentDescription:
    """A component as its class describes it."""
    text = inspect.cleandoc(component.__doc__ or "")
    summary = " ".join(text.partition("\n\n")[0].split())
    fields = tuple(
        _described(key, component.model_fields[name]) for key, name in field_names(component).items() if key != "type"
    )
    return ComponentDescription(type_of(component), component.role, summary, text, fields)


def record(component: BaseModel) -> dict[str, Any]:
    """A component as plain data with every default filled in, `type` first; what is None is left out, being a default."""
    fields = {key: _plain(getattr(component, name)) for key, name in field_names(type(component)).items()}
    first = {"type": fields.pop("type")} if "type" in fields else {}
    return first | {key: value for key, value in fields.items() if value is not None}


def in_words(annotation: Any) -> str:
    """A type as a user would say it: "list of whole numbers", "router or null", "learned or none"."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation]
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(in_words, arguments)))
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (tuple, list):
        inner = [argument for argument in arguments if argument is not Ellipsis]
        if (len(inner) == 1 and Ellipsis in arguments) or origin is list:
            words = in_words(inner[0])
            return f"list of {words}{'' if words.endswith('e') else 's'}"
        return f"list of {len(inner)}: {', '.join(map(in_words, inner))}"
    if origin is dict:
        return f"mapping to {in_words(arguments[1])}"
    if origin is not None and arguments:  # Annotated
        return in_words(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, Component):
        return annotation.role
    return "mapping" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else "value"


def slots(annotation: Any) -> Iterable[type[Component]]:
    """The roles that an annotation leaves to the spec."""
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, Component):
        return () if is_concrete(annotation) else (annotation,)
    return (role for argument in get_args(annotation) for role in slots(argument))


def _described(key: str, field: FieldInfo) -> FieldDescription:
    bounds = [
        f"{words} {getattr(rule, name)}"
        for rule in (*field.metadata, *_rules(field.annotation))
        for name, words in _BOUNDS
        if getattr(rule, name, None) is not None
    ]
    default = None if field.is_required() else _plain(field.get_default(call_default_factory=True))
    role = next((slot.role for slot in slots(field.annotation)), "")
    return FieldDescription(
        key, in_words(field.annotation), ", ".join(bounds), field.is_required(), default, field.description or "", role
    )


def _rules(annotation: Any) -> Iterable[Any]:
    """The bounds that stand inside a union: those of `PositiveInt | None`."""
    for member in get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ():
        yield from getattr(member, "__metadata__", ())


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return record(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value
