"""Other files than specs, such as studies and deployment targets: YAML into a strict record, every mistake at its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from mmspec.spec import tree
from mmspec.spec.complaints import Complaint, complaints
from mmspec.spec.diagnostics import Diagnostic, SpecError, listing
from mmspec.spec.reader import read_tree
from mmspec.spec.source import Source

Record = TypeVar("Record", bound=BaseModel)


@dataclass(frozen=True)
class Document(Generic[Record]):
    """A record, and the file that it was read from."""

    record: Record
    root: tree.Map
    source: Source

    def diagnostic(self, path: tree.Path, message: str, *notes: str, at_key: bool = False) -> Diagnostic:
        """A mistake at a place of the file: `("limits", 0)`; at the nearest written place where that is not written."""
        return _located(self.root, self.source, Complaint(path, message, notes, at_key))


def read_document(source: Source, owner: type[Record], name: str) -> Document[Record]:
    """What a file means; `name` is what messages call it ("the target").

    Raises   SpecError: everything that is wrong with the file, located.
    """
    root = read_tree(source)
    if not isinstance(root, tree.Map):
        keys = listing(owner.model_fields)
        raise SpecError([Diagnostic(f"{name} is a mapping", root.position, (f"it has: {keys}",), file=source.name)])
    data = _lists(tree.plain(root))
    try:
        return Document(owner.model_validate(data), root, source)
    except ValidationError as error:
        found = complaints(error, owner, name, data)
        raise SpecError([_located(root, source, complaint) for complaint in found]) from None


def _located(root: tree.Map, source: Source, complaint: Complaint) -> Diagnostic:
    node: tree.Node = root
    key = None
    for step in complaint.path:
        below = tree.child(node, step)
        if below is None:
            break
        key, node = tree.key_position(node, step), below
    place = key if complaint.at_key and key else tree.best_position(node, key)
    return Diagnostic(complaint.message, place, complaint.notes, file="" if place else source.name)


def _lists(data: Any) -> Any:
    """Tuples, which the tree gives, as the lists that a strict model wants."""
    if isinstance(data, Mapping):
        return {key: _lists(value) for key, value in data.items()}
    return [_lists(item) for item in data] if isinstance(data, tuple) else data
