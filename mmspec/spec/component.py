"""What every component is: a strict, frozen record whose class is its schema.

A class without a `type` field is a *role* (encoder, fusion, router, ...); a class with `type: Literal["gated"] = "gated"` is a
component of that role. A role as a field's annotation is a *slot*: its value is a component, or, when a spec is read, a mapping
whose `type` picks the class from the catalogue in the validation context, or the bare name of a type.

    router: Router = Field(default_factory=Dense)        # router: {type: top_k, experts: 4}   or   router: dense
"""

from collections.abc import Iterator, Mapping
from functools import cache
from inspect import get_annotations
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@cache
def is_concrete(cls: type) -> bool:
    """Whether the class is a component that can be written, rather than a role."""
    return any("type" in get_annotations(base) for base in cls.__mro__)


@cache
def field_names(cls: type[BaseModel]) -> dict[str, str]:
    """The Python name of each field by the key that is written for it."""
    return {field.alias or name: name for name, field in cls.model_fields.items()}


@cache
def slots(cls: type[BaseModel]) -> tuple[tuple[str, str], ...]:
    """The fields that may hold components: the key that is written for each, and its Python name."""
    return tuple((key, name) for key, name in field_names(cls).items() if _may_hold(cls.model_fields[name].annotation))


def _may_hold(annotation: Any) -> bool:
    inner = get_args(annotation)
    if inner and get_origin(annotation) is not Literal:
        return any(map(_may_hold, inner))
    return annotation is Any or (isinstance(annotation, type) and issubclass(annotation, Component))


class FieldError(ValueError):
    """Raised by a component's validator: which field is wrong, so that the message points at its line.

    raise FieldError("heads", "heads 3 do not divide the width 128", hint="heads may be 1, 2, 4, 8, ...")
    """

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.field, self.message, self.hint = field, message, hint


class Misfit(ValueError):
    """What is wrong inside a slot, with the class that was chosen for it."""

    def __init__(self, component: type["Component"], error: ValidationError) -> None:
        super().__init__(component.__name__)  # the text of a nested error is never shown, and may be long
        self.component, self.error = component, error


class Component(BaseModel):
    """A piece of a model that a user may write; its fields are what may be written in it."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, validate_by_name=True, validate_by_alias=True
    )
    role: ClassVar[str] = "component"
    names_input: ClassVar[str] = ""  # of what fills a slot: the field that names an input which it reads by itself

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if is_concrete(cls):
            return handler(source)
        return core_schema.with_info_plain_validator_function(
            cls._pick,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda component: component.model_dump(by_alias=True)
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) if is_concrete(cls) else {"x-role": cls.role}

    @classmethod
    def _pick(cls, value: Any, info: core_schema.ValidationInfo) -> "Component":
        """The component that a slot's value means."""
        if isinstance(value, cls):
            return value
        catalogue = info.context
        if isinstance(value, str):
            value = {"type": value}
        if not isinstance(value, Mapping):
            raise PydanticCustomError("not_a_component", "not a component", {"role": cls.role})
        if "type" not in value:
            raise PydanticCustomError("no_type", "no type", {"role": cls.role})
        if catalogue is None:
            message = "without a catalogue, a {role} must be given as an object"
            raise PydanticCustomError("no_catalogue", message, {"role": cls.role})
        chosen: type[Component] | None = catalogue.get(cls, value["type"])
        if chosen is None:
            raise PydanticCustomError(
                "unknown_type", "unknown type", {"role": cls.role, "base": cls, "value": value["type"]}
            )
        try:
            return chosen.from_spec(value, catalogue)
        except ValidationError as error:
            raise Misfit(chosen, error) from None

    @classmethod
    def from_spec(cls, value: Any, catalogue: Any) -> Self:
        """Validate what a spec says: keys as they are written in YAML only, slots picked from the catalogue."""
        valid: Self = cls.__pydantic_validator__.validate_python(value, context=catalogue, by_alias=True, by_name=False)
        return valid

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """The keys that may be written, in order: `from`, not `from_`."""
        return tuple(field_names(cls))

    def children(self) -> Iterator[tuple[str, "Component"]]:
        """The components in this one's slots, each with its path: ("router", TopK(...)), ("experts.0", ...)."""
        for key, name in slots(type(self)):
            value = getattr(self, name)
            if isinstance(value, Component):
                yield key, value
            elif isinstance(value, tuple):
                yield from ((f"{key}.{i}", item) for i, item in enumerate(value) if isinstance(item, Component))

    def inputs_named(self) -> Iterator[tuple[str, str]]:
        """The inputs that components in this one's slots read by themselves, each with the path of the field that says so."""
        for path, child in self.children():
            if child.names_input and (name := getattr(child, child.names_input)):
                yield f"{path}.{child.names_input}", name
            yield from ((f"{path}.{inner}", name) for inner, name in child.inputs_named())
