"""How far files in fewer bits are from the torch module: each output's error, and samples that leave at another exit.

error      ||file - model|| / ||model||  over all samples, with every exit forced in turn
exits      share of samples that leave elsewhere, with the thresholds as they are
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import torch
from torch import nn

from mmspec.deploy.cases import Case, smallest_case
from mmspec.deploy.contract import Contract
from mmspec.deploy.exits import forced, restored, stay, thresholds_of
from mmspec.deploy.file import Arrays, Load
from mmspec.deploy.parity import Runnable
from mmspec.deploy.precision.task import Values
from mmspec.deploy.steering import spare, starved
from mmspec.deploy.watching import stacks_of, watching
from mmspec.errors import Failure

SAME = 1e-3  # of an answer's norm, by which it may differ when it is given again


@dataclass
class Errors:
    """Sums over batches, by output."""

    difference: dict[str, float] = field(default_factory=dict)
    size: dict[str, float] = field(default_factory=dict)
    largest: dict[str, float] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)  # integers: samples are counted for which they differ

    def add(self, name: str, model: np.ndarray, file: np.ndarray) -> None:
        if model.shape != file.shape or model.dtype != file.dtype:
            told = f"{file.dtype}{list(file.shape)} where torch gives {model.dtype}{list(model.shape)}"
            raise Failure(f"the file in fewer bits gives for {name} {told}; nothing was written")
        if not np.isfinite(file).all():
            raise Failure(f"the file in fewer bits gives for {name} a number that is not finite; nothing was written")
        away = np.abs(model.astype(np.float64) - file)
        size = float((model.astype(np.float64) ** 2).sum())
        if model.dtype != np.float32:
            self.counted.add(name)
            away, size = (away > 0).astype(np.float64), float(model.size)
        self.difference[name] = self.difference.get(name, 0.0) + float((away**2).sum())
        self.size[name] = self.size.get(name, 0.0) + size
        self.largest[name] = max(self.largest.get(name, 0.0), float(away.max(initial=0)))

    def relative(self, name: str) -> float:
        """A float output's error; 0 where both are nothing but zeros."""
        return (self.difference[name] / self.size[name]) ** 0.5 if self.size[name] else float(self.difference[name] > 0)

    def share(self, name: str) -> float:
        """Of the samples, those whose integer is another."""
        return self.difference[name] / self.size[name]


def errors_of(module: nn.Module, files: Runnable, load: Load, examples: Sequence[Values]) -> Errors:
    """The file against the module: floats with every exit forced, integers with the thresholds as they are."""
    found = Errors()
    for exits_forced, arrays in _settings(module):
        run = files.with_arrays(arrays).tried(load)
        for values in examples:
            wanted, got = _wanted(module, files, values), run(values)
            for name, value in wanted.items():
                if exits_forced == (value.dtype == np.float32):
                    found.add(name, value, got[name])
    return found


def runs_everywhere(module: nn.Module, files: Runnable, load: Load, cases: Iterable[Case]) -> None:
    """Raise Failure unless the files give numbers of the right shape for every batch, length and absent text of the gate, and in
    the end for the first what files give that were asked nothing before."""
    run, every = files.tried(load), list(cases)
    for case in every:
        wanted = _wanted(module, files, case.inputs)
        try:
            got = run(case.inputs)
        except Exception as error:  # the runtime's own kinds, which share no base
            reason = " ".join(str(error).split())[:300]
            raise Failure(f"the runtime cannot run the file in fewer bits, {case.name}: {reason}") from error
        for name, value in wanted.items():
            Errors().add(name, value, got[name])
    first, again = files.tried(load)(every[0].inputs), run(every[0].inputs)
    for name, value in first.items():
        found = Errors()
        found.add(name, value, again[name])
        if found.relative(name) > SAME:
            raise Failure(
                f"the runtime gives another answer after others: {name} of {every[0].name} was off by {found.relative(name):.3g}; "
                "nothing was written"
            )


def runs_without_tokens(module: nn.Module, files: Runnable, load: Load, contract: Contract) -> list[str]:
    """Raise Failure unless the files give numbers where experts have no tokens: each in turn that can be without, by changed
    weights of routers. Returns those for which none were found."""
    case = smallest_case(contract, 3)
    with restored(module):
        stay(module)
        spared = {name: count for name, count in spare(module, case.inputs).items() if count}
        experts = {name: len(cast(nn.ModuleList, module.get_submodule(name))) for name in spared}
        left = {(name, expert) for name, count in experts.items() for expert in range(count)}
        for turn in range(max((-(-experts[name] // spared[name]) for name in spared), default=0)):
            idle = {name: list(range(experts[name]))[turn * n : (turn + 1) * n] for name, n in spared.items()}
            with starved(module, case.inputs, {name: some for name, some in idle.items() if some}) as weights:
                with torch.no_grad(), watching(module, case.batch) as seen:
                    module(*case.inputs)
                here = replace(case, name=f"{case.name}, with experts that have no tokens")
                runs_everywhere(module, files.with_arrays(weights | thresholds_of(module)), load, [here])
                left -= {(name, i) for name, runs in seen.idle.items() for i, n in enumerate(runs.tolist()) if n}
    return [f"{name}.{expert}" for name, expert in sorted(left)]


def _wanted(module: nn.Module, files: Runnable, values: Values) -> Arrays:
    with torch.no_grad():
        return {name: value.numpy() for name, value in files.asked(module(*values)).items()}


def _settings(module: nn.Module) -> Iterator[tuple[bool, Arrays]]:
    """Thresholds of the module, and of a file beside it: whether they are forced, and what they then are."""
    yield from ((True, arrays) for _, arrays in forced(module))
    if not stacks_of(module):
        yield True, {}
    yield False, {}
