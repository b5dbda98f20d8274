"""Nodes whose weights follow another's as a moving average: who follows whom, and whether they can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmspec.ir import Op, parameters
from mmspec.spec import Diagnostic, ModelSpec


def averages(spec: ModelSpec) -> tuple[tuple[str, str], ...]:
    """Each node that is an average, and the one that it follows."""
    said: list[tuple[str, Any]] = [(node.name, node.component) for node in spec.nodes]
    return tuple((name, component.average_of) for name, component in said if component.average_of is not None)


def unfollowable(spec: ModelSpec, ops: Sequence[Op]) -> Iterator[Diagnostic]:
    """What is wrong with them: a node that is not there, of another kind, an average itself, or with weights of other shapes."""
    known: dict[str, Any] = {node.name: node.component for node in spec.nodes}
    shapes = {
        op.name: {placed.path: placed.parameter.shape for body in op.bodies for placed in parameters(body)}
        for op in ops
        if op.kind in ("call", "define")
    }
    for name, followed in averages(spec):
        path = next(f"{node.path}.average_of" for node in spec.nodes if node.name == name)
        if followed not in known or followed == name:
            others = ", ".join(other for other in known if other != name)
            yield spec.diagnostic(path, f"there is no other node {followed!r} to follow", hint=f"there are {others}")
        elif type(known[followed]) is not type(known[name]) or known[followed].average_of is not None:
            message = f"{name} cannot follow {followed!r}"
            yield spec.diagnostic(path, message, hint="an average needs a node of its own kind, which is no average")
        elif name in shapes and followed in shapes:
            ours, theirs = shapes[name], shapes[followed]
            wrong = [f"{each} is {list(ours[each])}" for each in ours if each in theirs and theirs[each] != ours[each]]
            wrong += [
                f"{each} is in {name} alone" for each in ours if each not in theirs and not _kept(ops, name, each)
            ]
            if wrong:
                hint = "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
                yield spec.diagnostic(path, f"{name} cannot follow {followed!r}: their weights differ", hint=hint)


def _kept(ops: Sequence[Op], name: str, path: str) -> bool:
    """Whether it is a statistic that a node keeps for itself."""
    placed = (each for op in ops if op.name == name for body in op.bodies for each in parameters(body))
    return any(each.path == path and bool(each.parameter.buffer) for each in placed)
