"""Nodes that share weights: `tie: left` computes with what `left` has learned. Fields that are not written are taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmspec.spec.component import field_names
from mmspec.spec.diagnostics import did_you_mean, in_words, listing
from mmspec.spec.roles import NODE_SECTIONS, Node
from mmspec.spec.wiring import Report

OWN = ("type", "from", "tie")  # what a node says for itself
UNLIKE = "nodes that share weights are made alike; leave it out, and it is taken over"


def owner(name: str, nodes: Mapping[str, Node]) -> str:
    """The node whose weights a node computes with: itself, where it is tied to none."""
    while (tie := nodes[name].tie) is not None:
        name = tie
    return name


def tied(sections: Mapping[str, dict[str, Any]], report: Report) -> None:
    """Complete the tied nodes of these sections in place; `report` is told of ties that lead nowhere, in a circle, or to a node of
    another kind."""
    nodes: dict[str, Node] = {name: node for section in NODE_SECTIONS for name, node in sections[section].items()}
    homes = {name: section for section in NODE_SECTIONS for name in sections[section]}
    for name in [name for name, node in nodes.items() if node.tie is not None]:
        path = (homes[name], name, "tie")
        trail = [name]
        while (tie := nodes[trail[-1]].tie) is not None and tie in nodes and tie not in trail:
            trail.append(tie)
        if tie is None:
            taken_over = _alike(nodes[name], nodes[trail[-1]], path, trail[-1], report)
            sections[homes[name]][name] = taken_over
        elif tie in trail:
            circle = [*trail[trail.index(tie) :], tie]
            if name == next(each for each in nodes if each in circle):  # said once
                report(path, f"a circle: {' -> '.join(circle)}", "one of them must have weights of its own")
        elif len(trail) == 1:
            others = [other for other in nodes if other != name]
            report(path, f"there is no node {tie!r}{did_you_mean(tie, others)}", f"nodes are: {listing(others)}")


def _alike(node: Node, other: Node, path: tuple[str, ...], name: str, report: Report) -> Node:
    """The node with what it does not say taken from the other."""
    if type(node) is not type(other):
        kinds = [component.type for component in (node, other)]  # type: ignore[attr-defined]
        report(path, f"a {kinds[0]} cannot share the weights of {name!r}, a {kinds[1]}")
        return node
    filled: dict[str, Any] = {}
    for key, field in field_names(type(node)).items():
        mine, theirs = getattr(node, field), getattr(other, field)
        if key in OWN or mine == theirs:
            continue
        if field in node.model_fields_set:
            message = f"{key!r} is {in_words(mine)}, and of {name!r}, whose weights these are, {in_words(theirs)}"
            report((*path[:2], key), message, UNLIKE)
        else:
            filled[field] = theirs
    copy = node.model_copy(update=filled)
    copy.model_fields_set.difference_update(filled)  # what was not written stays so, for who prints what was
    return copy
