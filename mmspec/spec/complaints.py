"""What pydantic finds wrong, in our words: one complaint per mistake, about the component that was chosen.

depth: '4'       ->  expected a whole number for 'depth' of vit, found the text '4'
patch_sise: 8    ->  unknown key 'patch_sise' of vit, did you mean 'patch_size'?
depth: -1        ->  'depth' of vit must be greater than 0, found -1
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mmspec.spec.catalogue import Catalogue, type_of
from mmspec.spec.component import Component, FieldError, Misfit, field_names, is_concrete
from mmspec.spec.diagnostics import did_you_mean, in_words, listing, nearest
from mmspec.spec.reader import PROBLEMS_LIMIT
from mmspec.spec.tree import BROKEN, Path, dotted

_KINDS = {
    "int_type": "a whole number", "int_from_float": "a whole number", "int_parsing": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "finite_number": "a finite number", "bool_type": "true or false",
    "string_type": "a text", "tuple_type": "a list", "list_type": "a list", "set_type": "a list", "dict_type": "a mapping",
    "mapping_type": "a mapping", "model_type": "a mapping", "model_attributes_type": "a mapping", "none_required": "null",
    "is_instance_of": "another kind of value",
}  # fmt: skip
_BOUNDS = {
    "greater_than": ("greater than", "gt"), "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"), "less_than_equal": ("at most", "le"), "multiple_of": ("a multiple of", "multiple_of"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Complaint:
    """A mistake at a path below the validated value; `at_key` where the key is wrong rather than its value."""

    path: Path
    message: str
    notes: tuple[str, ...] = ()
    at_key: bool = False


@dataclass(frozen=True, slots=True)
class _Finding:
    """One of pydantic's errors with the path that the user wrote; `union` is where alternatives of an annotation begin."""

    path: Path
    error: Any
    union: Path | None


def complaints(
    error: ValidationError, owner: type[BaseModel], name: str, data: Any, catalogue: Catalogue | None = None
) -> Iterator[Complaint]:
    """What is wrong with `data`, which did not fit `owner`; `name` is what messages call the owner."""
    errors = [found for found in error.errors(include_url=False) if found["input"] is not BROKEN][:PROBLEMS_LIMIT]
    findings = _without_misspelt([_finding(found, data) for found in errors], owner)
    for finding in _without_rivals(findings):
        kind, path = finding.error["type"], finding.path
        inner = finding.error.get("ctx", {}).get("error")
        if isinstance(inner, Misfit):
            value = _at(data, path)
            value = {"type": value} if isinstance(value, str) else value
            for found in complaints(inner.error, inner.component, type_of(inner.component), value, catalogue):
                yield Complaint(path + found.path, found.message, found.notes, found.at_key)
        elif isinstance(inner, FieldError):
            written = {python: key for key, python in field_names(owner).items()}
            yield Complaint(
                (*path, written.get(inner.field, inner.field)), inner.message, (inner.hint,) if inner.hint else ()
            )
        elif isinstance(inner, Exception):
            yield Complaint(path, f"{name}: {inner}" if not path else f"{dotted(path)!r} of {name}: {inner}")
        elif kind == "extra_forbidden":
            keys = list(field_names(_owner_at(owner, path[:-1]) or owner))
            whose = name if len(path) == 1 else f"{dotted(path[:-1])!r} of {name}"
            message = f"unknown key {path[-1]!r} of {whose}{did_you_mean(path[-1], keys)}"
            yield Complaint(
                path, message, (f"{path[-2] if len(path) > 1 else name} has: {listing(keys)}",), at_key=True
            )
        elif kind == "missing":
            note = _describe(owner, path)
            yield Complaint(path[:-1], f"missing key {dotted(path)!r} of {name}", (note,) if note else ())
        elif kind in ("not_a_component", "no_type", "unknown_type"):
            yield _slot(finding, catalogue)
        else:
            message = _message(finding.error, f"{dotted(path)!r} of {name}" if path else name)
            note = _describe(owner, path)
            yield Complaint(path, message, (note,) if note else ())


def article(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeio' else 'a'} {noun}"


def _slot(finding: _Finding, catalogue: Catalogue | None) -> Complaint:
    path, context, value = finding.path, finding.error["ctx"], finding.error["input"]
    role = context["role"]
    base = context.get("base", role)
    types = catalogue.types(base) if catalogue else ()
    notes = (f"{role} may be: {listing(types)}",)
    if finding.error["type"] == "not_a_component":
        return Complaint(path, f"expected {article(role)}, a mapping with `type`, found {in_words(value)}", notes)
    if finding.error["type"] == "no_type":
        near = nearest("type", [key for key in value if isinstance(key, str)])
        hint = (f"{near!r} is probably meant to be 'type'",) if near else ()
        return Complaint(path, f"missing key 'type': which {role}?", notes + hint)
    name = context["value"]
    at = (*path, "type") if isinstance(finding.error["input"], Mapping) else path
    if not isinstance(name, str):
        return Complaint(at, f"expected the name of {article(role)}, found {in_words(name)}", notes)
    elsewhere = [article(other.role) for other in (catalogue.named(name) if catalogue else ())]
    also = (f"{name!r} is {elsewhere[0]}",) if elsewhere else ()
    return Complaint(at, f"unknown {role} {name[:80]!r}{did_you_mean(name, types)}", notes + also)


def _message(error: Any, what: str) -> str:
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"{what} must be {words} {context[key]}, found {in_words(value)}"
    if kind in _KINDS:
        return f"expected {_KINDS[kind]} for {what}, found {in_words(value)}"
    if kind in ("literal_error", "enum"):
        near = did_you_mean(value, [part.strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")])
        return f"expected {context['expected']} for {what}, found {in_words(value)}{near}"
    if kind in ("too_short", "too_long"):
        bound = f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        if kind == "too_long" and context["max_length"] == context.get("min_length"):
            bound = str(context["max_length"])
        return f"{what} needs {bound} items, found {context['actual_length']}"
    if kind == "unexpected alternatives":
        return f"expected {' or '.join(context['expected'])} for {what}, found {in_words(value)}"
    text = str(error["msg"])
    return f"{what}: {text[:1].lower()}{text[1:]}, found {in_words(value)}"


def _finding(error: Any, data: Any) -> _Finding:
    """pydantic's location without the names of union members, which nobody wrote."""
    path: list[str | int] = []
    union: Path | None = None
    last = len(error["loc"]) - 1
    for i, step in enumerate(error["loc"]):
        known = (
            (step in data or (i == last and error["type"] == "missing")) if isinstance(data, Mapping)
            else isinstance(data, (list, tuple)) and isinstance(step, int) and step < len(data)
        )  # fmt: skip
        if known:
            path.append(step)
            data = data[step] if i < last else None
        elif union is None:
            union = tuple(path)
    return _Finding(tuple(path), error, union)


def _without_misspelt(findings: list[_Finding], owner: type[BaseModel]) -> list[_Finding]:
    """A key that is missing because another is misspelt is one mistake."""
    missing = {finding.path for finding in findings if finding.error["type"] == "missing"}
    for finding in findings if missing else ():
        if finding.error["type"] == "extra_forbidden":
            *above, key = finding.path
            known = [path[-1] for path in missing if list(path[:-1]) == above and isinstance(path[-1], str)]
            keys = field_names(_owner_at(owner, tuple(above)) or owner)
            meant = nearest(key, keys)
            missing -= {(*above, meant)} if meant in known else set()
    return [finding for finding in findings if finding.error["type"] != "missing" or finding.path in missing]


def _without_rivals(findings: Iterable[_Finding]) -> Iterator[_Finding]:
    """Of a union's members, the one that got furthest speaks; where none got further, all are named in one sentence."""
    unions: dict[Path, list[_Finding]] = {}
    for finding in findings:
        if finding.union is None:
            yield finding
        else:
            unions.setdefault(finding.union, []).append(finding)
    for path, rivals in unions.items():
        deepest = max(len(rival.path) for rival in rivals)
        furthest = [rival for rival in rivals if len(rival.path) == deepest]
        kinds = list(dict.fromkeys(_KINDS[rival.error["type"]] for rival in furthest if rival.error["type"] in _KINDS))
        if deepest > len(path) or len(kinds) < len(furthest):
            yield next((rival for rival in furthest if rival.error["type"] not in _KINDS), furthest[0])
        else:
            error = {"type": "unexpected alternatives", "ctx": {"expected": kinds}, "input": furthest[0].error["input"]}
            yield _Finding(path, error, path)


def _at(data: Any, path: Path) -> Any:
    for step in path:
        data = data[step]
    return data


def _owner_at(owner: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The record whose keys stand at a path below `owner`, where the annotations say it."""
    current: Any = owner
    for step in path:
        if isinstance(step, str) and isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(field_names(current).get(step, ""))
            current = record_in(field.annotation) if field else None
        if current is None:
            return None
    return current  # type: ignore[no-any-return]


def record_in(annotation: Any) -> type[BaseModel] | None:
    """The record inside an annotation: `Router` in `Router | None`, `Stage` in `tuple[Stage, ...]`."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for found in map(record_in, get_args(annotation)) if found), None)


def _describe(owner: type[BaseModel], path: Path) -> str:
    """`depth: fusion blocks`, from the field itself."""
    keys = tuple(step for step in path if isinstance(step, str))
    holder = _owner_at(owner, keys[:-1]) if keys else None
    if holder is None or (issubclass(holder, Component) and not is_concrete(holder)):
        return ""
    field = holder.model_fields.get(field_names(holder).get(keys[-1], ""))
    return f"{keys[-1]}: {field.description}" if field and field.description else ""
