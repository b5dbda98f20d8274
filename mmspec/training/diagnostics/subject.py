"""What a diagnosis looks at, and what its sections share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from mmspec.backend.runtime import Experts, Stages
from mmspec.data.batch import Batch
from mmspec.data.demand import Target
from mmspec.training.journeys import Journeys, halting_stacks, journeys
from mmspec.training.loads import watching
from mmspec.training.loop import EVALUATION_BATCH
from mmspec.training.modes import evaluating
from mmspec.training.trained import Trained

Figures = dict[str, Any]
Unfit = str  # why a section does not apply


@dataclass(frozen=True)
class Section:
    """One question.   measure: its figures, plain data, or why it does not apply; draw: the figures as HTML"""

    name: str
    title: str
    about: str
    measure: Callable[[Subject], Figures | Unfit]
    draw: Callable[[Figures], str]


@dataclass(frozen=True)
class Subject:
    """A trained model and the split that it is looked at on."""

    trained: Trained
    split: str

    def batches(self) -> Iterator[Batch]:
        return self.trained.data.evaluation_batches(self.split, EVALUATION_BATCH)

    @property
    def module(self) -> nn.Module:
        return self.trained.module

    @cached_property
    def target(self) -> Target | None:
        """The first column of classes that a head is judged by."""
        return next((t for t in self.trained.data.targets if not t.text and not t.pair), None)

    def classes(self, head: str) -> tuple[str, ...]:
        return self.trained.data.preprocessing.answers[head]

    @cached_property
    def stacks(self) -> dict[str, tuple[Stages, Target]]:
        """The stacks that may be left early and whose head the data can judge, by node."""
        found = halting_stacks(self.trained.spec, self.module, self.trained.data)
        return {node: (stages, target) for node, stages, target in found if target is not None}

    @cached_property
    def journeys(self) -> dict[str, Journeys]:
        return {
            node: journeys(self.module, stages, self.trained.data, target, self.split, EVALUATION_BATCH)
            for node, (stages, target) in self.stacks.items()
        }

    @cached_property
    def experts(self) -> dict[str, Experts]:
        return {name: child for name, child in self.module.named_modules() if isinstance(child, Experts)}

    @cached_property
    def routes(self) -> dict[str, Routes]:
        """What each layer of experts was sent, over the split."""
        return routes(self)


@dataclass
class Routes:
    """Of one layer: choices counted by modality, by class and by group of the sample; the last column is nobody, where an
    expert had no room.   i64[rows, experts + 1]"""

    by_modality: dict[str, Tensor]
    by_class: Tensor
    by_group: Tensor


def routes(subject: Subject) -> dict[str, Routes]:
    """One pass in which every sample goes to the end of every stack, so that all layers see all samples."""
    target, data = subject.target, subject.trained.data
    classes = len(subject.classes(target.head)) if target else 1
    found = {
        name: Routes(
            {}, *(torch.zeros(rows, len(layer) + 1, dtype=torch.int64) for rows in (classes, max(1, len(data.groups))))
        )
        for name, layer in subject.experts.items()
    }
    batch: list[Batch] = []

    def note(name: str, choice: Tensor) -> None:
        route, count = found[name], len(subject.experts[name]) + 1
        samples = len(batch[0].groups)
        if choice.shape[0] != samples:
            return
        labels = batch[0].targets[target.column] if target else torch.zeros(samples, dtype=torch.int64)
        for table, rows in ((route.by_class, labels), (route.by_group, batch[0].groups)):
            rows = rows.view(-1, *(1 for _ in choice.shape[1:])).expand_as(choice)
            table += torch.bincount((rows * count + choice).flatten(), minlength=table.numel()).view_as(table)
        for modality, part in split(name, choice):
            table = route.by_modality.setdefault(modality, torch.zeros(count, dtype=torch.int64))
            table += part.flatten().bincount(minlength=count)

    with (
        modalities(subject) as split,
        to_the_end(subject.module),
        watching(subject.module, note),
        evaluating(subject.module),
    ):
        for each in subject.batches():
            batch[:] = [each]
            subject.module(**each.inputs)
    return found


Split = Callable[[str, Tensor], list[tuple[str, Tensor]]]


@contextmanager
def modalities(subject: Subject) -> Iterator[Split]:
    """A function that says whose tokens a layer is choosing for, [B, N, k], inside the `with` statement: an encoder's are its own;
    a fusion's are those of its streams in a row where their number says so, else those of the stream that asks."""
    nodes = {node.name: node for node in subject.trained.spec.nodes}
    lengths: dict[str, list[int]] = {}

    def note(node: str, args: tuple[Any, ...]) -> None:
        lengths[node] = [a.shape[1] for a in args if isinstance(a, Tensor) and a.dim() == 3 and a.is_floating_point()]

    def split(layer: str, choice: Tensor) -> list[tuple[str, Tensor]]:
        name, *inner = layer.split(".")
        streams = [source.path.partition(".")[2] for source in nodes[name].sources]
        if nodes[name].role == "encoder" or len(streams) < 2 or choice.dim() < 3:
            return [(name, choice)]
        if named := [stream for stream in streams if stream in inner]:
            return [(named[0], choice)]
        sizes = lengths.get(name, [])
        if len(sizes) == len(streams) and sum(sizes) == choice.shape[1]:
            return list(zip(streams, torch.split(choice, sizes, dim=1), strict=True))
        return [(streams[0], choice)]

    with ExitStack() as hooks:
        for name, child in subject.module.named_children():
            if name in nodes:
                handle = child.register_forward_pre_hook(lambda _, args, name=name: note(name, args))
                hooks.callback(handle.remove)
        yield split


@contextmanager
def to_the_end(module: nn.Module) -> Iterator[None]:
    """No sample leaves early, for a while."""
    stacks = [child for child in module.modules() if isinstance(child, Stages)]
    for stages in stacks:
        stages.force(stages.earlier)
    try:
        yield
    finally:
        for stages in stacks:
            stages.force(None)


def shares(counts: Tensor) -> list[float]:
    """Counts over their sum."""
    total = max(1, int(counts.sum()))
    return [float(x) for x in (counts.double() / total).tolist()]


def listed(values: Mapping[str, Tensor]) -> dict[str, list[float]]:
    return {name: shares(counts) for name, counts in values.items()}
