"""Their names as a layout writes them."""

from __future__ import annotations

from collections.abc import Iterable

from mmspec.weights.layout import Layout
from mmspec.weights.templates import match


class Names:
    """Their names as the layout writes them: without a prefix, and as they are called now."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        file = layout.file
        parts = [part for rule in file.join.values() for part in rule.of]
        self.templates = (*layout.rules, *parts, *file.ignore)

    def known(self, name: str) -> tuple[str, str, dict[str, str]] | None:
        """The name, the template that it follows and the values of its places."""
        for bare in self.spellings(name):
            for template in self.templates:
                values = match(template, bare)
                if values is not None:
                    return bare, template, values
        return None

    def spellings(self, name: str) -> Iterable[str]:
        bare = [name, *(name.removeprefix(prefix) for prefix in self.layout.file.prefix if name.startswith(prefix))]
        yield from bare
        for spelling in bare:
            for old, new in self.layout.file.older.items():
                spelling = spelling.replace(old, new)
            yield spelling

    def covered(self, names: Iterable[str]) -> int:
        """How many of these names the layout knows."""
        return sum(self.known(name) is not None for name in names)
