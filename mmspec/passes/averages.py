"""Nodes whose weights follow another's as a moving average: who follows whom, and whether their weights are alike."""

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
    """Averages whose weights have other names or shapes than those that they would follow."""
    pairs = averages(spec)
    concerned = {name for pair in pairs for name in pair}
    shapes = {
        op.name: {placed.path: placed.parameter for body in op.bodies for placed in parameters(body)}
        for op in ops
        if op.name in concerned and op.kind in ("call", "define")
    }
    for name, followed in pairs:
        if name not in shapes or followed not in shapes:
            continue  # it has a problem of its own
        ours, theirs = shapes[name], shapes[followed]
        wrong = [
            f"{path} is {list(ours[path].shape)} here and {list(theirs[path].shape)} there"
            for path in ours
            if path in theirs and theirs[path].shape != ours[path].shape
        ]
        wrong += [f"{path} is here alone" for path in ours if path not in theirs and not ours[path].buffer]
        if wrong:
            at = next(f"{node.path}.average_of" for node in spec.nodes if node.name == name)
            hint = "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
            yield spec.diagnostic(at, f"{name} cannot be the average of {followed!r}: their weights differ", hint=hint)
