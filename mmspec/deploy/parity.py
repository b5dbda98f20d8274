"""The parity gate: the file, run by its runtime, against the eager torch module, over every case.

    weights      the model's own, and all of them drawn anew; routers then steered until each expert met tokens, and until each went
                 without
    thresholds   as they are; every sample forced to leave at exit 0, 1, ...; set so that the exits are mixed
    inputs       see cases.py

Exits must be equal, each number of an output within the target's tolerance. A sample may differ only if it is a close call (see
watching.py); those that do are counted, and too many of them fail.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from mmspec.deploy.cases import Case, cases, drawn, full_case, largest_case, plain_case, smallest_case
from mmspec.deploy.contract import Contract
from mmspec.deploy.differences import as_arrays, beyond, joined, largest, worst
from mmspec.deploy.exits import forced, mixed_thresholds, restored, stay, thresholds_of
from mmspec.deploy.file import Arrays, Load
from mmspec.deploy.rounding import with_rounding
from mmspec.deploy.steering import fed, spare, starved
from mmspec.deploy.target import Verify
from mmspec.deploy.watching import Watched, close_calls, stacks_of, watching
from mmspec.errors import Failure
from mmspec.host import session
from mmspec.ir import Graph

if TYPE_CHECKING:
    import onnx

EXCUSED = 0.05  # of all samples; more close calls that went the other way are a mistake
MIXED_BATCH = 16  # samples among which the exits are to be mixed
DRAWS = 6  # of random weights, in which steering a router may fail

Tell = Callable[[str], None]
Experts = dict[str, list[int]]  # by module
Steer = Callable[[nn.Module, Sequence[Tensor], Experts], AbstractContextManager[Arrays]]


class Runnable(Protocol):
    """What is compared: a file, or several that a host runs."""

    def array(self, name: str) -> np.ndarray:
        """What it holds under that name."""

    def with_arrays(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """A copy in which these have other values."""

    def changed(self, change: Callable[[onnx.ModelProto], onnx.ModelProto]) -> Self:
        """A copy with each file changed."""

    @property
    def protos(self) -> Mapping[str, onnx.ModelProto]:
        """What is written, by name."""

    def run(self, load: Load = session) -> Callable[[tuple[Tensor, ...]], Arrays]:
        """It as a function of its inputs in order, in a runtime.   Raises Failure: it cannot be loaded."""

    def tried(self, load: Load = session) -> Callable[[tuple[Tensor, ...]], Arrays]:
        """The same as gates try it: where a text is long, at some of its tokens."""

    def asked(self, outputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What `tried` gives, of what torch gives."""


@dataclass(frozen=True)
class Compared:
    """One case. `errors` by output, the largest over the samples that were compared; `exits` how many samples left at
    each; `close` samples were close calls, `excused` of them went the other way and were not compared."""

    weights: str
    thresholds: str
    case: str
    samples: int
    errors: Mapping[str, float]
    exits: Mapping[str, list[int]]
    close: int
    excused: int


@dataclass
class Parity:
    """Everything that was compared; all of it within tolerance."""

    compared: list[Compared] = field(default_factory=list)
    experts: dict[str, list[int]] = field(default_factory=dict)  # tokens that each expert met, by module
    without: dict[str, list[int]] = field(default_factory=dict)  # runs in which it met none, by module
    always: list[str] = field(
        default_factory=list
    )  # modules whose experts all meet tokens, whatever the router's weights
    notes: list[str] = field(default_factory=list)  # what could not be tried

    @property
    def max_error(self) -> dict[str, float]:
        """By output, over all cases."""
        names = {name: 0.0 for case in self.compared for name in case.errors}
        return {name: max(case.errors.get(name, 0.0) for case in self.compared) for name in names}

    @property
    def idle(self) -> dict[str, int]:
        """Runs that left an expert without tokens, the fewest of any, by module; not of those that always have some."""
        return {name: min(runs) for name, runs in self.without.items() if name not in self.always}

    @property
    def samples(self) -> int:
        return sum(case.samples for case in self.compared)

    @property
    def excused(self) -> int:
        return sum(case.excused for case in self.compared)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"max_abs_error": self.max_error, "samples": self.samples, "excused": self.excused}


@dataclass(eq=False)
class Mismatch(Failure):
    """A comparison that failed."""

    weights: str
    thresholds: str
    case: Case
    output: str
    detail: str
    model: nn.Module = field(repr=False)  # with the weights and thresholds of the case
    file: Runnable = field(repr=False)
    place: str | None = None  # the first node that differs, where it was looked for

    def __str__(self) -> str:
        where = f"{self.weights}, thresholds: {self.thresholds}, {self.case.name}"
        title = "the exported file does not compute the model; nothing was written."
        return f"{title}\n  case    {where}\n  output  {self.output}: {self.detail}" + (
            f"\n  first   {self.place}" if self.place else ""
        )


def check_parity(
    given: Runnable,
    module: nn.Module,
    graph: Graph,
    contract: Contract,
    verify: Verify,
    progress: Callable[[str], None] = lambda text: None,
    load: Load = session,
    own: bool = False,
) -> Parity:
    """Compare the file, in the runtime `load`, with the module.   own: with its own weights only

    Raises   Mismatch, Failure.
    """
    parity = Parity()
    for draw in range(1 if own else 2):
        weights = f"random weights {draw}" if draw else "own weights"
        with drawn(module, graph, draw) as model, restored(model):
            within = with_rounding(verify, model, contract) if draw else verify
            file = given.with_arrays(_state(model)) if draw else given
            for thresholds, arrays, batches in _settings(file, model, graph, contract, verify, parity, draw):
                setting = _Setting(weights, thresholds, model, file.with_arrays(arrays), contract, within)
                run = setting.file.tried(load)
                for case in batches:
                    progress(f"{weights}, {case.name}")
                    setting.compare(case, run, parity)
    if parity.experts and not own:
        setting = _Setting("random weights", "no sample leaves early", module, given, contract, verify)
        _meet_all(setting, graph, parity, progress, load)
        _leave_idle(setting, graph, parity, progress, load)
    if parity.excused > EXCUSED * parity.samples:
        told = f"{parity.excused} of {parity.samples} samples were close calls that went the other way"
        raise Failure(f"{told}; rounding does not do that, and the file was not written")
    return parity


def _settings(
    file: Runnable,
    model: nn.Module,
    graph: Graph,
    contract: Contract,
    verify: Verify,
    parity: Parity,
    draw: int,
) -> Iterator[tuple[str, Arrays, list[Case]]]:
    """What the thresholds are, in the module and (changed initialisers) in the file, and the cases to try under them."""
    seed = 1000 * draw
    plain = plain_case(contract, max(verify.batches), seed + 11)
    more = [] if draw else _more(contract, verify, graph, plain)
    yield "as they are", {}, [*cases(contract, verify.batches, seed), *more]
    for exit, arrays in forced(model):
        yield f"every sample leaves at exit {exit}", arrays, [plain]
    stacks = stacks_of(model)
    if not stacks:
        return
    many = plain_case(contract, max(*verify.batches, min(MIXED_BATCH, contract.batch_limit)), seed + 13)
    mixed = mixed_thresholds(model, many, verify.margin)
    if mixed is None:
        whose = "random" if draw else "its own"
        parity.notes.append(f"with {whose} weights all samples are equally sure; their exits could not be mixed")
        return
    moved = {}  # moved, not overwritten: a threshold wrong in the file stays wrong by as much
    for path, stack in stacks.items():
        inside = file.array(f"{path}.thresholds")
        moved[f"{path}.thresholds"] = (inside + (mixed[path] - stack.thresholds).numpy()).astype(np.float32)
        stack.thresholds.copy_(mixed[path])
    yield "between the samples, so that they leave at different exits", moved, [many]


def _more(contract: Contract, verify: Verify, graph: Graph, plain: Case) -> Iterator[Case]:
    """With its own weights: the largest batch that is not too much work, and each sample by itself."""
    if (case := largest_case(graph, contract, verify.batches)) is not None:
        yield case
    # such as who is like whom
    together = any("batch" in str(dim) for port in contract.outputs for dim in port.dims[1:])
    if contract.batch(1) == 1 and not together:
        yield replace(plain, name=f"{plain.name}, each sample as by itself", alone=True)


def _meet_all(setting: _Setting, graph: Graph, parity: Parity, tell: Tell, load: Load) -> None:
    """Compare a batch until every expert has met a token.   Raises Mismatch; Failure: one met none"""
    case = full_case(setting.contract, setting.contract.batch(max(setting.verify.batches)), 19)
    weights = "random weights, experts without tokens first choices"
    missed = _steered(setting, graph, parity, tell, load, case, weights, fed, lambda: _never(parity.experts))
    if missed:
        raise Failure(
            f"no token met the experts {_listed(missed)}, whatever the routers' weights; they were not compared"
        )


def _leave_idle(setting: _Setting, graph: Graph, parity: Parity, tell: Tell, load: Load) -> None:
    """Compare the smallest sample until every expert that can has met no token.   Raises Mismatch; Failure: one always met some"""
    case = smallest_case(setting.contract, 19)
    with restored(setting.model):
        stay(setting.model)
        spared = spare(setting.model, case.inputs)
    parity.always = [name for name, count in spared.items() if not count]

    def busy() -> Experts:
        found = _never({name: runs for name, runs in parity.without.items() if spared[name]})
        return {name: experts[: spared[name]] for name, experts in found.items()}

    weights = "random weights, experts left without tokens"
    left = _steered(setting, graph, parity, tell, load, case, weights, starved, busy)
    if left:
        told = f"no comparison left the experts {_listed(left)} without tokens"
        raise Failure(f"{told}; how a runtime fares there is not known")


def _steered(
    setting: _Setting, graph: Graph, parity: Parity, tell: Tell, load: Load, case: Case, weights: str, steer: Steer,
    wanted: Callable[[], Experts],
) -> Experts:  # fmt: skip
    """Compare the case with routers steered to what is wanted, until that is nothing; or what is left of it after DRAWS random
    weights that brought nothing."""

    in_vain, left, draws = 0, wanted(), itertools.count(2)
    while left and in_vain < DRAWS:
        with drawn(setting.model, graph, next(draws)) as model:
            stay(model)
            with steer(model, case.inputs, left):
                tell(f"{weights}, {case.name}")
                file = setting.file.with_arrays(_state(model) | thresholds_of(model))
                verify = with_rounding(setting.verify, model, setting.contract)
                here = replace(setting, weights=weights, model=model, file=file, verify=verify)
                here.compare(case, file.tried(load), parity)
        before, left = left, wanted()
        in_vain = in_vain + 1 if left == before else 0
    return left


def _never(counts: Mapping[str, list[int]]) -> Experts:
    """Experts that are counted 0 times, by module that has some."""
    found = {name: [expert for expert, count in enumerate(each) if not count] for name, each in counts.items()}
    return {name: experts for name, experts in found.items() if experts}


def _listed(experts: Experts) -> str:
    return ", ".join(f"{name}.{expert}" for name, numbers in experts.items() for expert in numbers)


@dataclass(frozen=True)
class _Setting:
    """Weights and thresholds that the module and the file have in common while cases are compared."""

    weights: str
    thresholds: str
    model: nn.Module
    file: Runnable
    contract: Contract
    verify: Verify

    def compare(self, case: Case, run: Callable[[tuple[Tensor, ...]], Arrays], parity: Parity) -> None:
        """Add the case to what was compared.   Raises Mismatch."""
        with torch.no_grad(), watching(self.model, case.batch) as seen:
            wanted = as_arrays(self.file.asked(self.model(*case.inputs)))
        if case.alone:
            with torch.no_grad():
                wanted = joined(as_arrays(self.file.asked(self.model(*sample))) for sample in case.samples)
        try:
            found = run(case.inputs)
            alone = joined(map(run, case.samples)) if case.alone else None
        except Exception as error:  # the runtime's own kinds, which share no base
            reason = " ".join(str(error).split())[:300]
            raise self.mismatch(case, "any", f"the runtime cannot run it: {reason}") from error
        self._judge(case, seen, wanted, found, parity)
        if alone is not None:
            self._judge(replace(case, name=f"{case.name}, in the file as well"), seen, wanted, alone, parity)
        for name, chosen in seen.chosen.items():
            parity.experts[name] = (np.array(parity.experts.get(name, 0)) + chosen.numpy()).tolist()
            parity.without[name] = (np.array(parity.without.get(name, 0)) + seen.idle[name].numpy()).tolist()

    def _judge(self, case: Case, seen: Watched, wanted: Arrays, found: Arrays, parity: Parity) -> None:
        differs = np.zeros(case.batch, dtype=bool)
        for port in self.contract.outputs:
            a, b = wanted[port.name], found[port.name]
            if a.shape != b.shape or a.dtype != b.dtype:
                told = f"{b.dtype}{list(b.shape)} where torch gives {a.dtype}{list(a.shape)}"
                raise self.mismatch(case, port.name, told)
            if not np.isfinite(a).all():
                raise self.mismatch(case, port.name, "torch itself gives a number that is not finite")
            differs |= beyond(a, b, self.verify.of(port.name, port.dtype), case.batch)
        close = close_calls(seen, self.verify)
        wrong = differs & ~close
        if wrong.any():
            raise self.mismatch(case, *worst(wanted, found, self.contract, wrong, self.verify))
        errors = {
            name: float(largest(a, found[name], case.batch)[~differs].max(initial=0)) for name, a in wanted.items()
        }
        exits = {name: np.bincount(value).tolist() for name, value in wanted.items() if name.endswith(".exit")}
        counts = int(close.sum()), int((differs & close).sum())
        parity.compared.append(Compared(self.weights, self.thresholds, case.name, case.batch, errors, exits, *counts))

    def mismatch(self, case: Case, output: str, detail: str) -> Mismatch:
        return Mismatch(self.weights, self.thresholds, case, output, detail, copy.deepcopy(self.model), self.file)


def _state(model: nn.Module) -> Arrays:
    return {name: _numpy(tensor) for name, tensor in model.state_dict().items()}


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
