"""Specs that a study is told to train first: points of its space, given as choices, or as a spec that is one of them.

    start:
      - {encoders.image.width: 64, fusion.joint.depth: 3}      # what is not said has its default
      - runs/digits_pareto/front/3                             # a member of an earlier search, or any spec

What is no point of the space, or is one that may not be trained, is a mistake; nothing is left out in silence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmspec import shipped
from mmspec.spec.diagnostics import Diagnostic, SpecError, did_you_mean, listing
from mmspec.study.candidate import Pricer, digest
from mmspec.study.file import Study
from mmspec.study.space import Params, Space, read_at

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec


def told_first(study: Study, space: Space, pricer: Pricer) -> list[Params]:
    """The points that `start` means.   Raises   SpecError: each that is none, or may not be trained, at its place."""
    points: list[Params] = []
    problems: list[Diagnostic] = []
    for i, written in enumerate(study.start):
        try:
            point = _spoken(space, written) if isinstance(written, Mapping) else _meant(study, space, pricer, written)
        except _Outside as outside:
            problems.append(study.diagnostic(("start", i, *outside.key), str(outside), *outside.notes))
            continue
        if problem := pricer(point).problem:
            problems.append(study.diagnostic(("start", i), f"this may not be trained: it {problem}"))
        points.append(point)
    if problems:
        raise SpecError(problems)
    return points


class _Outside(Exception):
    def __init__(self, message: str, *notes: str, key: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.notes, self.key = notes, key


def _spoken(space: Space, choices: Mapping[str, Any]) -> Params:
    domains = {domain.key: domain for domain in space.domains}
    for key, value in choices.items():
        if key not in domains:
            known = list(domains)
            raise _Outside(f"{key!r} is not open{did_you_mean(key, known)}", f"open are: {listing(known)}", key=(key,))
        if value not in domains[key]:
            raise _Outside(f"outside the space: {key} may be {domains[key]}, not {value!r}", key=(key,))
    point = space.defaults(choices)
    if idle := [key for key in choices if key not in point]:
        needs = " and ".join(f"{outer} = {value}" for outer, value in domains[idle[0]].condition)
        raise _Outside(f"choosing {idle[0]!r} has no effect: it needs {needs}", key=(idle[0],))
    return point


def _meant(study: Study, space: Space, pricer: Pricer, path: str) -> Params:
    """The point whose spec is that of a file, a member's folder, or a shipped name."""
    spec = _opened(study, path)
    resolved = spec.resolved()
    point: Params = {}
    for domain in space.domains:
        if domain.active(point):
            value = read_at(resolved, domain.path)
            if value not in domain:
                raise _Outside(f"outside the space: {domain.key} may be {domain}, and is {value!r} in {path}")
            point[domain.key] = value
    meant = pricer(point)
    if meant.spec is None or digest(spec) != meant.digest:
        raise _Outside(f"outside the space: {path} differs from the base in what is not open{_where(meant.spec, spec)}")
    return point


def _opened(study: Study, path: str) -> ModelSpec:
    from mmspec.components import load

    beside = os.path.normpath(study.path.parent / path)
    file = os.path.join(beside, "spec.yaml") if os.path.isdir(beside) else beside
    if not os.path.isfile(file):
        packaged = shipped.find("specs", path)
        if packaged is None:
            raise _Outside(
                f"there is no spec {path!r} beside this file, and none is shipped",
                "or give choices: {fusion.joint.depth: 3}",
            )
        file = str(packaged)
    spec = load(file)
    return spec.require_closed()


def _where(meant: ModelSpec | None, spec: ModelSpec) -> str:
    if meant is None:
        return ""
    one, other = flat(meant.resolved()), flat(spec.resolved())
    changed = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key) and key != "name"]
    return (
        f": {changed[0]} is {other.get(changed[0], 'nothing')}, not {one.get(changed[0], 'nothing')}" if changed else ""
    )


def flat(data: Any, prefix: str = "") -> dict[str, str]:
    """Leaves by dotted path, in words: {"base.fusion.joint.depth": "2"}."""
    items = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list | tuple) else ()
    found = {k: v for key, item in items for k, v in flat(item, f"{prefix}.{key}" if prefix else str(key)).items()}
    return found or {prefix: str(data)}
