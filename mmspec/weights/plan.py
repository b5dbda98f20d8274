"""What of theirs becomes what of ours, decided from names and shapes before a tensor is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial

import torch
from torch import Tensor

from mmspec.weights import operations, tables
from mmspec.weights.binding import Bound
from mmspec.weights.layout import Layout, TensorRule
from mmspec.weights.names import Names
from mmspec.weights.operations import Misfit
from mmspec.weights.templates import fill, match

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Ours:
    """A tensor of the model that is to be filled. `grid`: how many first rows stand nowhere, and the sides of the rest."""

    shape: Shape
    grid: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Step:
    """Tensors of theirs to tensors of ours. `make` works on shapes too."""

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    make: Callable[[Sequence[Tensor]], Sequence[Tensor]]


@dataclass
class Plan:
    """`twins` must hold the same numbers; `missing`, `unused` and `misfits` are what is wrong; `left_out` is what was asked for."""

    steps: list[Step] = field(default_factory=list)
    twins: list[tuple[str, str]] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)  # ours: why
    unused: dict[str, str] = field(default_factory=dict)  # theirs: why
    misfits: dict[str, str] = field(default_factory=dict)  # ours: why
    absent: dict[str, str] = field(default_factory=dict)  # words of the layout that mean no node: what they would mean
    ignored: dict[str, list[str]] = field(default_factory=dict)  # reason: theirs
    adapted: dict[str, str] = field(default_factory=dict)  # ours: how it is not theirs as it was


def plan(
    layout: Layout,
    bound: Bound,
    theirs: Mapping[str, Shape],
    ours: Mapping[str, Ours],
    ignore: Sequence[str] = (),
    only: str = "",
    grid: Sequence[int] | None = None,
) -> Plan:
    """Lead every tensor of theirs to ours, or say why not. With `only`, what the layout has for other nodes is left out."""
    return _Planner(layout, bound, theirs, ours, only, grid).run(ignore)


class _Planner:
    def __init__(
        self,
        layout: Layout,
        bound: Bound,
        theirs: Mapping[str, Shape],
        ours: Mapping[str, Ours],
        only: str,
        grid: Sequence[int] | None,
    ) -> None:
        self.layout, self.bound, self.theirs, self.ours, self.only, self.grid = layout, bound, theirs, ours, only, grid
        self.plan = Plan()
        self.files: dict[str, str] = {}  # the name in the file, by the bare name
        self.filled: dict[str, str] = {}  # theirs, by ours
        self.joins: dict[str, dict[int, str]] = {}

    def run(self, ignore: Sequence[str]) -> Plan:
        reader = Names(self.layout)
        found: list[tuple[str, str, dict[str, str]]] = []
        for name in self.theirs:
            if any(fnmatchcase(name, pattern) for pattern in ignore):
                self.plan.ignored.setdefault("as asked", []).append(name)
                continue
            known = reader.known(name)
            if known is None:
                self.plan.unused[name] = ""
            elif known[0] in self.files:
                self.plan.unused[name] = f"the same as {self.files[known[0]]}"
            else:
                self.files[known[0]] = name
                found.append(known)
        for bare, template, values in found:
            self.tensor(bare, template, values)
        self.join()
        self.complete()
        return self.plan

    def tensor(self, bare: str, template: str, values: dict[str, str]) -> None:
        file = self.layout.file
        if template in file.ignore:
            self.plan.ignored.setdefault(file.ignore[template], []).append(self.files[bare])
        elif template in self.layout.rules:
            self.rule(bare, self.layout.rules[template], values)
        for ours, rule in file.join.items():
            if template in rule.of and (name := self.target(fill(ours, values), bare)) is not None:
                self.joins.setdefault(f"{ours}\n{name}", {})[rule.of.index(template)] = bare

    def target(self, ours: str, bare: str) -> str | None:
        """The model's name, or None and the reason noted."""
        theirs = self.files[bare]
        name = self.bound.name(ours)
        if (
            name not in self.ours and name is not None
        ):  # of a stack that samples may leave, the last norm is at every exit
            node, _, rest = name.partition(".")
            shown = f"{node}.readout.{rest}"
            name = shown if shown in self.ours else name
        if name in self.ours:
            return name
        if self.elsewhere(ours):
            self.plan.ignored.setdefault(f"not of {self.only}", []).append(theirs)
        elif name is None:
            word = ours.partition(".")[0]
            self.plan.unused[theirs] = f"of {word}"
            self.plan.absent[word] = self.bound.missing[word]
        else:
            self.plan.unused[theirs] = f"the model has no {name}"
        return None

    def elsewhere(self, ours: str) -> bool:
        """Whether a name is another node's than the only one that is asked for."""
        name = self.bound.name(ours)
        return bool(self.only) and (name is None or not name.startswith(f"{self.only}."))

    def rule(self, bare: str, rule: TensorRule, values: dict[str, str]) -> None:
        theirs = self.files[bare]
        count = self.theirs[theirs][0] if rule.unstack and self.theirs[theirs] else 1
        rows = [{**values, rule.unstack: str(i)} for i in range(count)] if rule.unstack else [values]
        wanted = [fill(ours, row) for row in rows for ours in rule.to]
        if rule.equals and not self.has_place(wanted) and not any(map(self.elsewhere, wanted)):
            self.twin(bare, fill(rule.equals, values))
            return
        names = [self.target(ours, bare) for ours in wanted]
        if all(names):
            self.step(bare, rule, [name for name in names if name is not None])

    def has_place(self, wanted: Sequence[str]) -> bool:
        return bool(wanted) and all(self.bound.name(ours) in self.ours for ours in wanted)

    def twin(self, bare: str, twin: str) -> None:
        """One of two names of a tensor: the other one is loaded, or, where the file has only this, this one in its place."""
        known = Names(self.layout).known(twin)
        assert known is not None and known[1] in self.layout.rules, f"{self.layout.name}: {twin} has no rule"
        other = [fill(ours, known[2]) for ours in self.layout.rules[known[1]].to]
        if not self.has_place(other):
            self.plan.unused[self.files[bare]] = f"it is {twin} again, and the model has neither"
        elif twin in self.files:
            self.plan.twins.append((self.files[bare], self.files[twin]))
        else:
            self.files[twin] = self.files[bare]
            self.tensor(*known)

    def step(self, bare: str, rule: TensorRule, names: list[str]) -> None:
        theirs = self.files[bare]
        shapes = [self.ours[name] for name in names]
        parts = len(rule.to)

        def make(given: Sequence[Tensor]) -> Sequence[Tensor]:
            rows = given[0].unbind(0) if rule.unstack else given
            made: list[Tensor] = []
            for i, row in enumerate(rows):
                x = operations.rearrange(row, rule.rearrange)
                if parts > 1:
                    sizes = [_size(shapes[i * parts + k].shape, rule.axis) for k in range(parts)]
                    made += operations.split(x, sizes, rule.axis)
                else:
                    made.append(self.resized(x, rule, shapes[i]))
            return made

        self.add(Step((theirs,), tuple(names), make), names)
        if rule.resize and not self.plan.misfits.keys() & set(names):
            before = operations.rearrange(torch.empty(self.theirs[theirs], device="meta"), rule.rearrange)
            if self.adapts(before, shapes[0]):
                self.resizing(theirs, names[0])

    def adapts(self, x: Tensor, ours: Ours) -> bool:
        """Whether a table of places has other places than ours."""
        return x.shape[0] != ours.shape[0] or (
            self.grid is not None and ours.grid is not None and tuple(self.grid) != ours.grid[1:]
        )

    def resized(self, x: Tensor, rule: TensorRule, ours: Ours) -> Tensor:
        if not rule.resize or not self.adapts(x, ours):
            return x
        if rule.resize == "rows":
            return tables.rows(x, ours.shape[0])
        if ours.grid is None:
            return x
        first, *sides = ours.grid
        return tables.grid(x, first, sides, self.grid)

    def join(self) -> None:
        for key, parts in self.joins.items():
            ours, name = key.split("\n")
            rule = self.layout.file.join[ours]
            if len(parts) < len(rule.of):
                absent = [part for i, part in enumerate(rule.of) if i not in parts]
                self.plan.missing[name] = f"it is joined with {', '.join(absent)}, which the file has not"
                continue
            files = tuple(self.files[parts[i]] for i in range(len(rule.of)))
            made = operations.weight_norm if rule.fold else partial(operations.join, axis=rule.axis)
            self.add(Step(files, (name,), lambda given, made=made: [made(given)]), [name])  # type: ignore[misc]

    def add(self, step: Step, names: Sequence[str]) -> None:
        """A step that fits by its shapes."""
        theirs = ", ".join(step.theirs)
        again = [name for name in names if name in self.filled]
        if again:
            self.plan.unused[step.theirs[0]] = f"{again[0]} comes from {self.filled[again[0]]} already"
            return
        self.filled |= dict.fromkeys(names, theirs)
        try:
            made = step.make([torch.empty(self.theirs[name], device="meta") for name in step.theirs])
        except Misfit as error:
            shapes = ", ".join(str(list(self.theirs[name])) for name in step.theirs)
            for name in names:
                self.plan.misfits[name] = f"{list(self.ours[name].shape)} from {theirs} {shapes}: {error}"
            return
        for name, x in zip(names, made, strict=True):
            if tuple(x.shape) != self.ours[name].shape:
                self.plan.misfits[name] = f"{list(self.ours[name].shape)}, and {theirs} gives {list(x.shape)}"
        self.plan.steps.append(step)

    def resizing(self, theirs: str, ours: str) -> None:
        """Say that a table of places is not loaded as it is."""
        size = self.ours[ours]
        if size.grid is not None:
            sides = " x ".join(map(str, size.grid[1:]))
            self.plan.adapted[ours] = f"is interpolated from {theirs}, which has another grid than {sides}"
        else:
            self.plan.adapted[ours] = f"has the first {size.shape[0]} rows of {theirs}, which has more"

    def complete(self) -> None:
        """What of ours has nothing yet: from the other name of a tied tensor, by its own formula, or missing."""
        for name in self.ours.keys() - self.filled.keys():
            twin = self.other_name(name)
            if twin is not None and twin in self.files:
                self.plan.adapted[name] = f"is a copy of {self.files[twin]}: the checkpoint ties them"
                self.add(Step((self.files[twin],), (name,), lambda given: given), [name])
            elif any(
                match(own, name) is not None for each in self.layout.file.computed if (own := self.bound.name(each))
            ):
                continue
            elif name not in self.plan.missing:
                self.plan.missing[name] = self.expected_from(name)

    def other_name(self, name: str) -> str | None:
        for rule in self.layout.rules.values():
            if rule.equals and len(rule.to) == 1 and (own := self.bound.name(rule.to[0])) is not None:
                values = match(own, name)
                if values is not None:
                    return fill(rule.equals, values)
        return None

    def expected_from(self, name: str) -> str:
        pairs = [(ours, theirs) for theirs, rule in self.layout.rules.items() for ours in rule.to]
        pairs += [(ours, ", ".join(rule.of)) for ours, rule in self.layout.file.join.items()]
        for ours, theirs in pairs:
            own = self.bound.name(ours)
            values = match(own, name) if own is not None else None
            if values is not None:
                return f"from {fill(theirs, values)}"
        return "of which the layout knows nothing"


def _size(shape: Shape, axis: int) -> int:
    return shape[axis] if axis < len(shape) else 1
