"""Which components there are: the reader is given them, so that it need not know them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmspec.spec.component import Component, is_concrete


class Catalogue:
    """Components by role and type.

    Raises   ValueError: a role instead of a component, a type whose default is another, the same type twice in a role.
    """

    def __init__(self, components: Iterable[type[Component]]) -> None:
        self._roles: dict[str, dict[str, type[Component]]] = {}
        for component in components:
            if not is_concrete(component):
                raise ValueError(f"{component.__name__} is a role: a component needs `type: Literal[...]`")
            types = self._roles.setdefault(component.role, {})
            name = type_of(component)
            if types.setdefault(name, component) is not component:
                raise ValueError(
                    f"two components of role {component.role} have the type {name!r}: {types[name]}, {component}"
                )
        self._roles = {role: dict(sorted(types.items())) for role, types in sorted(self._roles.items())}

    def get(self, role: str | type[Component], name: object) -> type[Component] | None:
        """The component of this role and type, None where there is none; of a role class, only what derives from it."""
        base, key = (Component, role) if isinstance(role, str) else (role, role.role)
        found = self._roles.get(key, {}).get(name) if isinstance(name, str) else None
        return found if found is not None and issubclass(found, base) else None

    def types(self, role: str | type[Component]) -> tuple[str, ...]:
        """The types of a role, in alphabetical order."""
        if isinstance(role, str):
            return tuple(self._roles.get(role, {}))
        return tuple(name for name, component in self._roles.get(role.role, {}).items() if issubclass(component, role))

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(self._roles)

    def named(self, name: str) -> tuple[type[Component], ...]:
        """Every component of this type, whatever its role: `none` may be a halting policy and a position."""
        return tuple(types[name] for types in self._roles.values() if name in types)

    def __iter__(self) -> Iterator[type[Component]]:
        return (component for types in self._roles.values() for component in types.values())

    def __len__(self) -> int:
        return sum(map(len, self._roles.values()))


def type_of(component: type[Component]) -> str:
    """The name a component is written under."""
    name = component.model_fields["type"].default
    if not isinstance(name, str):
        raise ValueError(f'{component.__name__}.type needs its own name as default: `type: Literal["x"] = "x"`')
    return name
