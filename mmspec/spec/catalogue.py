"""Which components there are: the reader is given them, so that it need not know them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import NamedTuple

from mmspec.spec.component import Component, is_concrete


class Place(NamedTuple):
    """A component that is imported when a spec first names it: `Place("fusion", "gated", "my_package.fusion:GatedFusion")`."""

    role: str
    kind: str
    at: str

    def load(self) -> type[Component]:
        module, _, name = self.at.partition(":")
        found: type[Component] = getattr(import_module(module), name)
        if (found.role, type_of(found)) != (self.role, self.kind):
            raise ValueError(f"{self.at} is the {found.role} {type_of(found)!r}, not the {self.role} {self.kind!r}")
        return found


class Catalogue:
    """Components by role and type: classes, or the places of classes; `more` are asked for what is not among them.

    Raises   ValueError: a role instead of a component, a type whose default is another, the same type twice in a role.
    """

    def __init__(
        self, components: Iterable[type[Component] | Place], more: Callable[[], Iterable[type[Component]]] | None = None
    ) -> None:
        self._roles: dict[str, dict[str, type[Component] | Place]] = {}
        self._more = more
        for component in components:
            self._add(component)

    def _add(self, component: type[Component] | Place) -> None:
        if isinstance(component, Place):
            role, name = component.role, component.kind
        elif is_concrete(component):
            role, name = component.role, type_of(component)
        else:
            raise ValueError(f"{component.__name__} is a role: a component needs `type: Literal[...]`")
        types = self._roles.setdefault(role, {})
        known = types.setdefault(name, component)
        if known is not component:
            raise ValueError(f"two components of role {role} have the type {name!r}: {known}, {component}")

    def _all(self) -> dict[str, dict[str, type[Component] | Place]]:
        """Every type by role, in alphabetical order."""
        if self._more is not None:
            for component in self._more():
                self._add(component)
            self._more = None
        return {role: dict(sorted(types.items())) for role, types in sorted(self._roles.items())}

    def _loaded(self, role: str, name: str) -> type[Component] | None:
        found = self._roles.get(role, {}).get(name)
        if isinstance(found, Place):
            found = self._roles[role][name] = found.load()
        return found

    def get(self, role: str | type[Component], name: object) -> type[Component] | None:
        """The component of this role and type, None where there is none; of a role class, only what derives from it."""
        base, key = (Component, role) if isinstance(role, str) else (role, role.role)
        if not isinstance(name, str):
            return None
        if name not in self._roles.get(key, {}):
            self._all()
        found = self._loaded(key, name)
        return found if found is not None and issubclass(found, base) else None

    def types(self, role: str | type[Component]) -> tuple[str, ...]:
        """The types of a role, in alphabetical order."""
        if isinstance(role, str):
            return tuple(self._all().get(role, {}))
        return tuple(name for name in self.types(role.role) if self.get(role, name))

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(self._all())

    def named(self, name: str) -> tuple[type[Component], ...]:
        """Every component of this type, whatever its role: `none` may be a halting policy and a position."""
        return tuple(found for role in self.roles if (found := self._loaded(role, name)))

    def __iter__(self) -> Iterator[type[Component]]:
        return (found for role, types in self._all().items() for name in types if (found := self._loaded(role, name)))

    def __len__(self) -> int:
        return sum(map(len, self._all().values()))


def type_of(component: type[Component]) -> str:
    """The name a component is written under."""
    name = component.model_fields["type"].default
    if not isinstance(name, str):
        raise ValueError(f'{component.__name__}.type needs its own name as default: `type: Literal["x"] = "x"`')
    return name
