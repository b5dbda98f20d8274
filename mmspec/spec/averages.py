"""Nodes that are another's moving average: `average_of: student`. Fields that are not written are taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmspec.spec.catalogue import type_of
from mmspec.spec.component import field_names
from mmspec.spec.diagnostics import did_you_mean, listing
from mmspec.spec.roles import NODE_SECTIONS, Node
from mmspec.spec.wiring import Report

OWN = ("type", "from", "frozen", "tie", "average_of")  # what a node says for itself
SAYS = "average_of names a node of the same type that is trained itself"


def averaged(sections: Mapping[str, dict[str, Any]], report: Report) -> None:
    """Complete the averages of these sections in place; `report` is told of those that follow no node, or one that they cannot."""
    nodes: dict[str, Node] = {name: node for section in NODE_SECTIONS for name, node in sections[section].items()}
    for section in NODE_SECTIONS:
        for name, node in sections[section].items():
            if node.average_of is None:
                continue
            path, other = (section, name, "average_of"), nodes.get(node.average_of)
            if other is None or other is node:
                others = [known for known in nodes if known != name]
                near = did_you_mean(node.average_of, others)
                report(path, f"there is no other node {node.average_of!r}{near}", f"nodes are: {listing(others)}")
            elif type(other) is not type(node):
                kinds = [type_of(type(component)) for component in (node, other)]
                report(path, f"a {kinds[0]} cannot be the average of {node.average_of!r}, a {kinds[1]}", SAYS)
            elif other.average_of is not None or node.tie is not None:
                why = "shares its weights with another" if node.tie is not None else "would follow an average"
                report(path, f"{name!r} {why}", SAYS)
            else:
                sections[section][name] = _completed(node, other)


def _completed(node: Node, other: Node) -> Node:
    """The node with what it does not say taken from the other."""
    fields = [field for key, field in field_names(type(node)).items() if key not in OWN]
    filled = {field: getattr(other, field) for field in fields if field not in node.model_fields_set}
    copy = node.model_copy(update=filled)
    copy.model_fields_set.difference_update(filled)  # what was not written stays so, for who prints what was
    return copy
