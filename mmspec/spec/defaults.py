"""What a component leaves open because the wiring says it: its `from`, the head of its halting policy, the head of an objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmspec.spec.component import Component
from mmspec.spec.diagnostics import did_you_mean, listing
from mmspec.spec.roles import Halting, Node, Objective
from mmspec.spec.tree import Path
from mmspec.spec.wiring import Declared, Names, Report, Source

Heads = Mapping[str, Declared]


def completed(component: Component, node: Declared, heads: Heads, known: Names, report: Report) -> Component:
    """The component with its default `from` written out, and the heads of its halting policies; `report` is told of heads that
    do not exist or read another node."""
    filled: dict[str, Any] = {}
    if isinstance(component, Node) and component.from_ is None and node.sources:
        texts = tuple(_reference(source, known) for source in node.sources)
        filled["from_"] = texts if len(texts) > 1 else texts[0]
    readers = [head.name for head in heads.values() if any(source.path == node.path for source in head.sources)]
    for key, policy in component.children():
        replaced = _halting(policy, (node.section, node.name, *key.split(".")), node.name, readers, heads, report)
        if replaced is not policy and "." not in key:
            filled[key] = replaced
    return component.model_copy(update=filled) if filled else component


def judged(objective: Component, number: int, heads: list[str], report: Report) -> Component:
    """The objective with the only head, where it names none."""
    if not isinstance(objective, Objective) or not objective.judges:
        return objective
    path: Path = ("objectives", number)
    if objective.head is not None:
        if objective.head not in heads:
            message = f"there is no head {objective.head!r}{did_you_mean(objective.head, heads)}"
            report((*path, "head"), message, f"heads are: {listing(heads)}")
        return objective
    if len(heads) == 1:
        return objective.model_copy(update={"head": heads[0]})
    report(path, "which head does this objective judge?", f"add `head:`; heads are: {listing(heads)}")
    return objective


def _halting(policy: Component, path: Path, node: str, readers: list[str], heads: Heads, report: Report) -> Component:
    for key, inner in policy.children():
        _halting(inner, (*path, *key.split(".")), node, readers, heads, report)
    if not isinstance(policy, Halting) or not hasattr(policy, "head"):
        return policy
    head, broken = policy.head, any(declared.broken for declared in heads.values())
    if head is None and len(readers) == 1:
        return policy.model_copy(update={"head": readers[0]})
    if head is None and not policy.needs_head:  # several heads read it, or none: none is asked
        return policy
    if head is None and not broken:
        several = f"{len(readers)} heads read it" if readers else "no head reads it"
        report(path, f"which head judges the exits of {node!r}? There, {several}", f"head may be: {listing(readers)}")
    elif head is not None and head not in heads:
        report((*path, "head"), f"there is no head {head!r}{did_you_mean(head, heads)}", f"heads are: {listing(heads)}")
    elif head is not None and head not in readers and not broken:
        reads = listing(source.path.partition(".")[2] for source in heads[head].sources)
        hint = f"a halting policy applies its head to its own node, so `{head}` must have `from: {node}`"
        report((*path, "head"), f"the head {head!r} does not read {node!r}; it reads {reads}", hint)
    return policy


def _reference(source: Source, known: Names) -> str:
    """How a source would be written: by its bare name where that means it."""
    name = source.path.partition(".")[2]
    bare = f"{name}.{source.port}" if source.port else name
    return bare if known.resolve(bare) == source else str(source)
