"""Checkpoints by our own names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from mmspec.weights.plan import Ours, Plan, Shape, Step


def same_names(theirs: Mapping[str, Shape], ours: Mapping[str, Ours], ignore: Sequence[str], only: str) -> Plan:
    """Each tensor to the one of its name. With `only`, a file of that node alone may leave its name out."""
    plan = Plan()
    for name, shape in theirs.items():
        own = f"{only}.{name}" if only and f"{only}.{name}" in ours else name
        if any(fnmatchcase(name, pattern) for pattern in ignore):
            plan.ignored.setdefault("as asked", []).append(name)
        elif own not in ours and only and "." in name and not name.startswith(f"{only}."):
            plan.ignored.setdefault(f"not of {only}", []).append(name)
        elif own not in ours:
            plan.unused[name] = ""
        elif ours[own].shape != shape:
            plan.misfits[own] = f"{list(ours[own].shape)}, and the file has {list(shape)}"
        else:
            plan.steps.append(Step((name,), (own,), lambda given: given))
    filled = {name for step in plan.steps for name in step.ours} | plan.misfits.keys()
    plan.missing |= {name: "" for name in ours if name not in filled}
    return plan
