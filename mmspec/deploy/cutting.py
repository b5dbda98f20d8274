"""A model in pieces, each a torch module with the parameters under the model's own names.

frame   the model with a gap where its halting stack was: inputs, and what the stack gives -> what enters the stack, outputs
exit    the blocks up to one exit: carried, shared, memory -> carried, answer, score, memory
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from mmspec.backend.runtime import Stages
from mmspec.backend.runtime.stages import Asked
from mmspec.deploy.cases import draw
from mmspec.deploy.contract import Contract, Port, terms
from mmspec.errors import Failure
from mmspec.host import AFTER, ANSWER, EXIT, SCORE

Values = Sequence[Tensor]


class Part(nn.Module):
    """A function with a model's submodules, under their own names."""

    def __init__(self, model: nn.Module, function: Callable[..., tuple[Tensor, ...]]) -> None:
        super().__init__()
        self._modules, self._parameters, self._buffers = model._modules, model._parameters, model._buffers
        self.function = function

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        return self.function(*values)


class Gap(nn.Module):
    """In the place of a stack: keeps what it is called with, and gives what it was told to, as the stack's result."""

    def __init__(self, stages: Stages) -> None:
        super().__init__()
        self.__dict__["stages"] = stages  # no submodule: its blocks are not part of the frame
        self.given: tuple[Values, Values, Tensor] | None = None

    def forward(self, *values: Tensor, budget: Tensor | None = None, **functions: Any) -> tuple[Tensor | None, ...]:
        stages: Stages = self.__dict__["stages"]
        self.asked = Asked(*(functions.get(name) for name in Asked._fields))
        self.values, self.memory = values, stages.start(self.asked, values, budget)
        if self.given is None:  # all is to be as it is, and its shapes are to be known
            self.answer = stages.answers(self.asked, stages.earlier, stages.view(self.asked, values))
            return stages.compacted(self.asked, values, budget)
        carried, answer, exit = self.given
        state = [*carried, *values[stages.carried :]]
        return stages.result(self.asked, state, answer, exit, None, None, state[0].new_zeros(()))


@dataclass
class Cut:
    """Where a model is cut: its stack, what the stack is asked at its exits, and the ports of the pieces."""

    model: nn.Module
    path: str
    contract: Contract
    carried: tuple[Port, ...] = ()
    shared: tuple[Port, ...] = ()
    memory: tuple[Port, ...] = ()
    answer: tuple[Port, ...] = ()
    asked: Asked = field(default_factory=lambda: Asked(None, None, None, None))

    @property
    def stages(self) -> Stages:
        stages = self.model.get_submodule(self.path)
        assert isinstance(stages, Stages)
        return stages

    @property
    def whole(self) -> list[str]:
        """Of the shared values, those that are one for all samples."""
        count = self.stages.carried
        return [port.name for i, port in enumerate(self.shared) if count + i in self.stages.whole]

    def frame(self) -> tuple[Part, Contract]:
        """The model without its stack."""
        left = Port(EXIT, "int64", self.carried[0].dims[:1], "the exit at which each sample left")
        contract = self.contract
        inputs = (*contract.inputs, *self.carried, *self.answer, left)
        outputs = (*_after(self.carried), *_after(self.shared), *_after(self.memory), *contract.outputs)
        model, path, stages, count = self.model, self.path, self.stages, len(contract.inputs)

        def frame(*values: Tensor) -> tuple[Tensor, ...]:
            gap = Gap(stages)
            handed = values[count:-1]
            gap.given = (handed[: stages.carried], handed[stages.carried :], values[-1])
            with _gap(model, path, gap):
                found = model(*values[:count])
            return (*gap.values, *gap.memory, *(found[port.name] for port in contract.outputs))

        return Part(model, frame), self._contract(inputs, outputs)

    def exit(self, number: int, kept: Collection[str]) -> tuple[Part, Contract]:
        """The blocks up to an exit; the last gives only what is kept of it."""
        stages, asked, last = self.stages, self.asked, number == self.stages.earlier
        memory = () if last else self.memory
        inputs = (*self.carried, *self.shared, *memory)
        score = () if last else (Port(SCORE, "float32", self.carried[0].dims[:1], "how much speaks for leaving here"),)
        given = [i for i, port in enumerate(self.carried) if not last or port.name in kept]
        outputs = (*_after([self.carried[i] for i in given]), *self.answer, *score, *_after(memory))
        count = len(self.carried) + len(self.shared)

        def exit(*handed: Tensor) -> tuple[Tensor, ...]:
            values, _ = stages.run(number, handed[:count])
            view = stages.view(asked, values)
            answer = stages.answers(asked, number, view)
            found = (*(values[i] for i in given), *answer)
            if last:
                return found
            score, memory = stages.score(number, answer, view, asked, handed[count:])
            return (*found, score, *memory)

        return Part(self.model, exit), self._contract(inputs, outputs)

    def _contract(self, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> Contract:
        used = {term for port in inputs for dim in port.dims for term in terms(dim)}
        return Contract(inputs, outputs, {name: size for name, size in self.contract.dims.items() if name in used})


MEANINGS = {
    "carried": "what goes from block to block",
    "shared": "what is the same for all blocks",
    "memory": "what the criterion remembers of each sample",
    "answer": "what the head says at the exit",
}


def cut(model: nn.Module, path: str, contract: Contract) -> Cut:
    """Where to cut: the model is run for several sizes, to see what enters its stack and how large it is."""
    found, probes = Cut(model, path, contract), _probes(contract)
    runs: list[dict[str, Values]] = []
    for seed, sizes in enumerate(probes):
        gap, count = Gap(found.stages), found.stages.carried
        with torch.no_grad(), _gap(model, path, gap):
            model(*draw(contract, sizes, seed))
        entering = {
            "carried": gap.values[:count],
            "shared": gap.values[count:],
            "memory": gap.memory,
            "answer": gap.answer,
        }
        runs.append(entering)
    found.asked = gap.asked

    def ports(kind: str) -> tuple[Port, ...]:
        made = []
        for i, tensor in enumerate(runs[0][kind]):
            name = ANSWER if kind == "answer" else f"stack.{kind}_{i}"
            shapes = zip(*(run[kind][i].shape for run in runs), strict=True)
            dims = tuple(_dim(sizes, probes, contract) for sizes in shapes)
            made.append(Port(name, str(tensor.dtype).removeprefix("torch."), dims, MEANINGS[kind]))
        return tuple(made)

    found.carried, found.shared, found.memory, found.answer = map(ports, MEANINGS)
    return found


@contextmanager
def _gap(model: nn.Module, path: str, gap: Gap) -> Iterator[None]:
    """The model with the gap in its stack's place."""
    parent, _, name = path.rpartition(".")
    owner = model.get_submodule(parent)
    stages = owner._modules[name]
    owner._modules[name] = gap
    try:
        yield
    finally:
        owner._modules[name] = stages


def _probes(contract: Contract) -> list[dict[str, int]]:
    """Sizes by name: the examples', and each of them changed by itself."""
    usual = {name: size.example for name, size in contract.dims.items()}
    changed = [
        usual | {name: size.high if usual[name] < size.high else size.low}
        for name, size in contract.dims.items()
        if name != "batch"
    ]
    return [usual, usual | {"batch": usual.get("batch", 2) + 1}, *changed]


def _dim(sizes: tuple[int, ...], probes: Sequence[Mapping[str, int]], contract: Contract) -> int | str:
    """One size as the contract would say it, from what it was in each probe: 16, "batch", "text_length + 16"."""
    for count in range(len(contract.dims) + 1):
        for names in combinations(contract.dims, count):
            rest = {size - sum(probe[name] for name in names) for size, probe in zip(sizes, probes, strict=True)}
            if len(rest) == 1 and (more := rest.pop()) >= 0:
                return " + ".join([*names, *([str(more)] if more else [])]) if names else more
    raise Failure(
        f"a size that enters the stack is {list(sizes)} for {list(probes)}, which is no sum of the inputs' sizes"
    )


def _after(ports: Sequence[Port]) -> tuple[Port, ...]:
    return tuple(replace(port, name=port.name + AFTER) for port in ports)
