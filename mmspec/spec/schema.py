"""JSON Schema of specs, for editors: completion, descriptions, and one message per mistake.

pydantic's own schema gives a `oneOf` with a discriminator, of which editors report every branch. Here `type` leads by if/then
to the one component that is meant. Draft 7, which the YAML language server speaks.
"""

from __future__ import annotations

import re
from typing import Any

from mmspec.spec.catalogue import Catalogue, type_of
from mmspec.spec.component import Component, field_names
from mmspec.spec.describe import describe, record
from mmspec.spec.roles import SECTIONS
from mmspec.spec.weights import Weights

Schema = dict[str, Any]

_TEXTS: Schema = {"type": "array", "items": {"type": "string"}}
_OPEN = [{"required": [key]} for key in ("choice", "int", "float")]
_IS_DOMAIN: Schema = {"type": "object", "anyOf": _OPEN, "not": {"required": ["type"]}}
_USE: Schema = {"type": "object", "required": ["use"]}
_NUMBERS = {"integer": "int", "number": "float"}


def json_schema(catalogue: Catalogue) -> Schema:
    """The schema of a whole spec with these components."""
    definitions: Schema = {}
    for component in catalogue:
        definitions[f"{component.role}.{type_of(component)}"] = _component(component, definitions)
    for role in catalogue.roles:
        definitions[role] = _role(role, catalogue)
    sections: Schema = {
        section: {
            "type": "object",
            "description": _summary(role),
            "additionalProperties": _place({"$ref": _ref(role.role)}),
        }
        for section, role in SECTIONS.items()
        if section != "objectives" and role.role in definitions
    }
    if "objective" in definitions:
        description = _summary(SECTIONS["objectives"])
        sections["objectives"] = {
            "type": "array", "description": description, "items": _place({"$ref": _ref("objective")}),
        }  # fmt: skip
    loose = {key: {"type": ["object", "array"], "description": value["description"]} for key, value in sections.items()}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "mmspec",
        "description": "A multi-modal network.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "description": "what the spec is called; its file's name by default"},
            "description": {"type": "string"},
            "extends": {"type": "string", "description": "a file beside this one, or a packaged spec, to start from"},
            "definitions": {"type": "object", "description": "pieces to `use` by name"},
            "variants": {
                "type": "object",
                "description": "changes by path, for --variant",
                "additionalProperties": {"type": "object"},
            },
            "outputs": {**_TEXTS, "description": "what is returned beside the heads' answers: [joint, joint.image]"},
            "weights": _weights(),
            **dict.fromkeys(sections, True),
        },
        # what extends another may leave out anything; only the reader sees the whole
        "if": {"required": ["extends"]},
        "then": {"properties": loose},
        "else": {"required": ["inputs"], "properties": sections},
        "definitions": definitions,
    }


def _weights() -> Schema:
    """A file, a checkpoint for the whole model (which says its `file` outright), or either for each of some nodes."""
    properties = {key: _value(schema, Component) for key, schema in Weights.model_json_schema()["properties"].items()}
    checkpoint: Schema = {
        "type": "object",
        "required": ["file"],
        "properties": properties,
        "additionalProperties": False,
    }
    one: Schema = {"if": {"type": "string"}, "else": checkpoint}
    whole = {"type": "object", "required": ["file"], "properties": {"file": {"type": "string"}}}
    nodes = {"type": "object", "additionalProperties": one}
    return {
        "description": "published or saved weights to begin with: a file for the model, or one for each of some nodes",
        "if": {"type": "string"},
        "else": {"if": whole, "then": checkpoint, "else": nodes},
    }


def _role(role: str, catalogue: Catalogue) -> Schema:
    """A slot: the bare name of a type that needs nothing else, or a mapping whose type says what else it holds."""
    types = list(catalogue.types(role))
    components = [component for component in catalogue if component.role == role]
    bare = [type_of(c) for c in components if not any(field.is_required() for field in c.model_fields.values())]
    branches = [
        {
            "if": {"type": "object", "required": ["type"], "properties": {"type": {"const": name}}},
            "then": {"$ref": _ref(f"{role}.{name}")},
        }
        for name in types
    ]
    described = {"enum": types, "description": "; ".join(f"{type_of(c)}: {describe(c).summary}" for c in components)}
    mapping = {"type": "object", "required": ["type"], "properties": {"type": _place(described)}, "allOf": branches}
    return {
        "if": {"type": "string"},
        "then": {"enum": bare},
        "else": {"if": _USE, "then": {"properties": {"use": {"type": "string"}}}, "else": mapping},
    }


def _component(component: type[Component], definitions: Schema) -> Schema:
    whole = component.model_json_schema(ref_template=_ref("record.{model}"))
    for name, nested in whole.pop("$defs", {}).items():
        definitions[f"record.{name}"] = {**_value(nested, component), "additionalProperties": False}
    properties: Schema = {}
    for key, name in field_names(component).items():
        if key == "type":
            properties[key] = True  # the slot has checked it
            continue
        field = component.model_fields[name]
        schema = {k: v for k, v in whole["properties"][key].items() if k not in ("title", "default", "description")}
        place = _place(_value(schema, component))
        if field.description:
            place["description"] = field.description
        if not field.is_required():
            default = field.get_default(call_default_factory=True)
            place["default"] = record(default) if isinstance(default, Component) else default
        properties[key] = place
    required = [key for key in whole.get("required", ()) if key != "type"]
    return {
        "type": "object",
        "description": describe(component).summary,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _value(schema: Any, component: type[Component]) -> Any:
    """A field's schema with slots as references, and unions in forms that give one message."""
    if isinstance(schema, list):
        return [_value(item, component) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "x-role" in schema:
        return {"$ref": _ref(schema["x-role"])}
    schema = {key: _value(value, component) for key, value in schema.items() if key != "title"}
    if "prefixItems" in schema:  # draft 7 calls it so
        schema["items"] = schema.pop("prefixItems")
    members = schema.pop("anyOf", None)
    return schema if members is None else {**schema, **_union(members)}


def _union(members: list[Schema]) -> Schema:
    """Members of different kinds are one schema, as every keyword speaks of one kind; null leads away from what else there is."""
    kinds = [member.get("type") for member in members]
    others = [member for member in members if member.get("type") != "null"]
    distinct = all(isinstance(kind, str) for kind in kinds) and len(set(kinds)) == len(kinds)
    if distinct and not {"integer", "number"} <= set(kinds) and not any("enum" in m or "const" in m for m in members):
        merged = {key: value for member in members for key, value in member.items()}
        return {**merged, "type": kinds}
    if len(others) == 1 and len(members) == 2:
        return {"if": {"type": "null"}, "else": others[0]}
    return {"anyOf": members}


def _place(schema: Schema) -> Schema:
    """Where a value may stand, a domain of such values may stand too, or what a definition holds."""
    properties: Schema = {"choice": {"type": "array", "minItems": 1, "items": schema}, "default": True}
    kinds = schema.get("type")
    for kind, name in _NUMBERS.items():
        if kind in (kinds if isinstance(kinds, list) else [kinds]):
            pair = {"type": "array", "items": schema, "minItems": 2, "maxItems": 2}
            properties |= {name: pair, "step": {"type": kind, "exclusiveMinimum": 0}, "log": {"type": "boolean"}}
    domain = {"properties": properties, "additionalProperties": False}
    return {"if": _IS_DOMAIN, "then": domain, "else": {"if": _USE, "else": schema}}


def _summary(role: type[Component]) -> str:
    return re.split(r"\n\s*\n", role.__doc__ or "")[0].strip()


def _ref(name: str) -> str:
    return f"#/definitions/{name}"
