"""Reuse of what is written elsewhere: `extends` another file, `use` a definition.

    extends: base.yaml            # a path beside this file, or a packaged spec by name; maps merge, lists replace, null deletes
    definitions:
      small: {type: vit, patch_size: 8, width: 64, depth: 2, heads: 2}
    encoders:
      image: {use: small, depth: 3}      # the keys beside `use` override

A map of another `type` replaces instead of merging: the keys of one component mean nothing to another. So does a domain.
"""

from __future__ import annotations

from pathlib import Path

from mmspec import shipped
from mmspec.spec.diagnostics import Diagnostic, SpecError, did_you_mean, in_words, listing
from mmspec.spec.domains import is_domain
from mmspec.spec.reader import DEPTH_LIMIT, NODES_LIMIT, PROBLEMS_LIMIT, read_file, read_tree
from mmspec.spec.source import Source
from mmspec.spec.tree import BROKEN, List, Map, Node, Value, plain

EXTENDS_LIMIT = 16  # files in a row


def merge(base: Node, over: Node) -> Node:
    """`over` laid onto `base`."""
    if not (isinstance(base, Map) and isinstance(over, Map)) or is_domain(base) or is_domain(over):
        return over
    if any(name in base.entries for name in ("type", "use")):  # fields alone may be of any component
        for identity in ("type", "use"):
            if identity in over.entries and _word(over, identity) != _word(base, identity):
                return over
    entries, keys = dict(base.entries), dict(base.keys)
    for name, node in over.entries.items():
        if name in entries and isinstance(node, Value) and node.value is None:
            del entries[name], keys[name]
        else:
            entries[name] = merge(entries[name], node) if name in entries else node
            keys[name] = over.keys[name]
    return Map(entries, keys, over.position or base.position)


def compose(source: Source, folder: Path) -> Map:
    """The map of a source with everything it extends merged in. `folder` is where its relative paths begin.

    Raises   SpecError: not a mapping; `extends` that leads nowhere or round in a circle; what is wrong with the other file.
    """
    trail: list[str] = []
    layers: list[Map] = []
    current: tuple[Source, Path] | None = (source, folder)
    while current is not None:
        source, folder = current
        root = read_tree(source)
        if not isinstance(root, Map):
            raise SpecError(
                [Diagnostic(f"expected a mapping of sections, found {in_words(plain(root))}", root.position)]
            )
        layers.append(root)
        trail.append(str(folder / Path(source.name).name))
        written = root.entries.get("extends")
        current = None if written is None else _base(written, folder, trail)
    composed: Node = layers.pop()
    while layers:
        composed = merge(_without(composed, ("name", "description")), layers.pop())
    return _without(composed, ("extends",))


def expand(node: Node, definitions: Map | None, problems: list[Diagnostic]) -> Node:
    """The same tree with every `use` replaced by what it names. Problems are added to the list; such a place becomes BROKEN.

    Raises   SpecError: the expanded tree passes the reader's limits on nodes or depth.
    """
    return _Expansion(definitions, problems).expand(node, ())[0]


def expand_entries(root: Map, definitions: Map | None, problems: list[Diagnostic]) -> Map:
    """The same for what stands under each key of a map, which is not itself something to use."""
    expansion = _Expansion(definitions, problems)
    children = {key: expansion.expand(node, ()) for key, node in root.entries.items()}
    grown = Map({key: child[0] for key, child in children.items()}, root.keys, root.position)
    expansion.measured(grown, grown, list(children.values()))
    return grown


class _Expansion:
    def __init__(self, definitions: Map | None, problems: list[Diagnostic]) -> None:
        self.definitions = definitions.entries if definitions else {}
        self.problems = problems
        self.known: dict[str, tuple[Node, int, int]] = {}

    def expand(self, node: Node, trail: tuple[str, ...]) -> tuple[Node, int, int]:
        """The expanded node, its number of nodes, its depth."""
        if isinstance(node, Map):
            if "use" in node.entries:
                return self.use(node, trail)
            children = {key: self.expand(child, trail) for key, child in node.entries.items()}
            same = all(children[key][0] is child for key, child in node.entries.items())
            grown: Node = (
                node if same else Map({key: child[0] for key, child in children.items()}, node.keys, node.position)
            )
            return self.measured(grown, node, list(children.values()))
        if isinstance(node, List):
            items = [self.expand(item, trail) for item in node.items]
            same = all(item[0] is old for item, old in zip(items, node.items, strict=True))
            return self.measured(node if same else List(tuple(item[0] for item in items), node.position), node, items)
        return node, 1, 1

    def use(self, node: Map, trail: tuple[str, ...]) -> tuple[Node, int, int]:
        written = node.entries["use"]
        name = written.value if isinstance(written, Value) else None
        failed: tuple[Node, int, int] = (Value(BROKEN, node.position), 1, 1)
        if not isinstance(name, str) or name not in self.definitions:
            near = did_you_mean(name, self.definitions)
            found = (
                f"unknown definition {name!r}{near}" if isinstance(name, str) else "expected the name of a definition"
            )
            self.wrong(found, written, f"definitions are: {listing(self.definitions)}")
            return failed
        if name in trail:
            self.wrong(f"a cycle of definitions: {' -> '.join((*trail[trail.index(name) :], name))}", written)
            return failed
        if name not in self.known:
            self.known[name] = self.expand(self.definitions[name], (*trail, name))
        base, size, depth = self.known[name]
        if isinstance(base, Value) and base.value is BROKEN:
            return failed
        others = _without(node, ("use",))
        if not others.entries:
            return base, size, depth
        if not isinstance(base, Map):
            self.wrong(f"nothing can stand beside `use` here: {name!r} is not a mapping", written)
            return failed
        over, more, deeper = self.expand(others, trail)
        return self.measured(merge(base, over), node, [(base, size, depth - 1), (over, more, deeper - 1)])

    def measured(self, node: Node, at: Node, children: list[tuple[Node, int, int]]) -> tuple[Node, int, int]:
        size = 1 + sum(child[1] for child in children)
        depth = 1 + max((child[2] for child in children), default=0)
        if size > NODES_LIMIT or depth > DEPTH_LIMIT:
            what = f"more than {NODES_LIMIT:,} values" if size > NODES_LIMIT else f"more than {DEPTH_LIMIT} levels"
            raise SpecError([Diagnostic(f"definitions that use each other grow to {what}", at.position)])
        return node, size, depth

    def wrong(self, message: str, at: Node, *notes: str) -> None:
        self.problems.append(Diagnostic(message, at.position, notes))
        if len(self.problems) >= PROBLEMS_LIMIT:
            raise SpecError(self.problems)


def _base(written: Node, folder: Path, trail: list[str]) -> tuple[Source, Path]:
    """The file that `extends` means."""
    name = written.value if isinstance(written, Value) else None
    if not isinstance(name, str) or not name:
        raise SpecError(
            [Diagnostic("expected a file or the name of a packaged spec", written.position, ("extends: base.yaml",))]
        )
    path = folder / name
    if not path.is_file() and (packaged := shipped.find("specs", name)):
        path = packaged
    if str(path.parent / path.name) in trail or path.resolve() in [Path(step).resolve() for step in trail]:
        names = [Path(step).name for step in trail]
        raise SpecError([Diagnostic(f"a cycle of extends: {' -> '.join([*names, path.name])}", written.position)])
    if len(trail) >= EXTENDS_LIMIT:
        raise SpecError([Diagnostic(f"more than {EXTENDS_LIMIT} files extend each other", written.position)])
    if not path.is_file():
        near = did_you_mean(name, [*shipped.names("specs"), *(file.name for file in folder.glob("*.yaml"))])
        raise SpecError(
            [Diagnostic(f"there is no spec {name!r} to extend{near}", written.position, (f"looked in {folder}",))]
        )
    return read_file(str(path)), path.parent


def _word(node: Map, key: str) -> object:
    found = node.entries.get(key)
    return found.value if isinstance(found, Value) else None


def _without(node: Node, names: tuple[str, ...]) -> Map:
    assert isinstance(node, Map)
    entries = {key: child for key, child in node.entries.items() if key not in names}
    return Map(entries, {key: node.keys[key] for key in entries}, node.position)
