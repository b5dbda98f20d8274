"""The price once more, by running the module: FLOPs of every product that torch computes, bytes of every storage that it holds.

By default on fake tensors: shapes without numbers and weights without memory, so that a model of many billions is run in seconds.
What data decide is decided as it is priced (`backend.priced`). What a kernel holds for itself while it runs is in neither.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
from torch.utils._python_dispatch import TorchDispatchMode

from mmspec.backend.build import build_graph, build_objectives
from mmspec.backend.counting import Counting
from mmspec.backend.opaque import AnswersAsDeclared
from mmspec.backend.priced import as_priced
from mmspec.backend.tracking import InPlace, Tracking
from mmspec.cost.allocator import Event, Reserved, simulate
from mmspec.cost.flops import Sizes
from mmspec.errors import UserError
from mmspec.ir import Graph, Value
from mmspec.ir.graph import operations
from mmspec.passes import lower, lower_objectives
from mmspec.spec import ModelSpec

DTYPES = {"f32": torch.float32, "i64": torch.int64, "bool": torch.bool}
Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
NUMBERS_NEEDED = (
    DataDependentOutputException, DynamicOutputShapeException, UnsupportedFakeTensorException, UnsupportedOperatorException,
)  # fmt: skip
aten = torch.ops.aten


@dataclass(frozen=True)
class Exact:
    """What a run has shown.

    forward       FLOPs of the model, in evaluation or, of a training step, in training
    backward      FLOPs of the gradients of the model's outputs that the losses ask for; None at inference
    losses        FLOPs of the losses' own products, forward and backward
    operations    FLOPs by torch's operation
    parameters    numbers that are trained or were
    uncounted     products that ran and of which no formula is known: FLOPs are more than is said where there are any
    resident      bytes that are there all the time: weights, buffers, inputs, targets, and in training what the optimizer remembers
    peak          the most bytes beside those; `at` torch's operation there, `phase` what was going on
    events        births and deaths of all storages, those of what is resident first
    """

    fake: bool
    forward: int
    backward: int | None
    losses: int
    operations: Mapping[str, int]
    parameters: int
    uncounted: tuple[str, ...]
    weights: int
    inputs: int
    resident: int
    peak: int
    at: str
    phase: str
    events: tuple[Event, ...] = field(repr=False)

    def cuda(self) -> Reserved:
        """What CUDA's caching allocator would make of these storages: simulated, on the kernels that a processor runs."""
        return simulate(self.events)


def exact(
    spec: ModelSpec,
    sizes: Sizes,
    train: bool = False,
    *,
    graph: Graph | None = None,
    inputs: Mapping[str, Tensor] | None = None,
    wanted: Mapping[str, Tensor] | None = None,
    optimizer: Optimizer = torch.optim.AdamW,
) -> Exact:
    """Run a spec's model once at these sizes; with `train`, a step: forward, losses (the sum of all outputs where a spec has
    none), backward, optimizer, which has done one before.

    inputs   real tensors, for a run on real ones; without them it is on fake ones;   wanted: what the objectives compare with

    Raises   SpecError; UserError: something in it depends on numbers, which fake tensors do not have, or fails.
    """
    graph = graph or lower(spec)
    fake = inputs is None
    try:
        with (
            FakeTensorMode(allow_non_fake_inputs=True) if fake else nullcontext(),
            _decided(fake),
            _uncollected(),
            _plain(),
        ):
            model = build_graph(graph, fresh=False, fits=fake).train(train)
            if not fake:
                _filled(model)
            for path, op in operations(graph, "opaque"):
                model.get_submodule(path).register_forward_hook(AnswersAsDeclared(path, op, sizes))
            given = examples(graph.inputs, sizes) if inputs is None else dict(inputs)
            asked = targets(spec, sizes) if wanted is None and train else dict(wanted or {})
            run = _Run(spec, model, given, asked, optimizer)
            with as_priced(model, graph, sizes, fake=fake):
                return run.step(fake) if train else run.inference(fake)
    except (RuntimeError, NotImplementedError) as error:
        foreign = any(True for _ in operations(graph, "opaque"))  # code that is not ours may fail in any way
        if not fake or not (foreign or isinstance(error, NUMBERS_NEEDED)):
            raise
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{spec.name} cannot be run on tensors without numbers: {why}") from error


class _Run:
    def __init__(
        self,
        spec: ModelSpec,
        model: nn.Module,
        inputs: Mapping[str, Tensor],
        targets: Mapping[str, Tensor],
        optimizer: Optimizer,
    ) -> None:
        self.spec, self.model, self.inputs, self.targets, self.optimizer = spec, model, inputs, targets, optimizer
        state = _once((*model.parameters(), *model.buffers()))
        self.before = _once((*state, *inputs.values(), *targets.values()))
        self.weights = sum(map(_bytes, state))
        self.given = sum(map(_bytes, self.before)) - self.weights
        self.tracking = Tracking(self.before)
        self.events = [Event(-1 - i, _bytes(tensor)) for i, tensor in enumerate(self.before)]

    def inference(self, fake: bool) -> Exact:
        self.tracking.phase = "forward"
        with torch.no_grad(), self.tracking, Counting() as forward:
            self.model(**self.inputs)
        return self.result(fake, forward)

    def step(self, fake: bool) -> Exact:
        losses = build_objectives(self.spec) if self.spec.objectives else None
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        in_place = InPlace()
        tracking, counts = self.tracking, [Counting() for _ in range(3)]
        with tracking:
            tracking.phase = "states"
            optimizer = self.optimizer(trained) if trained else None
            if optimizer is not None:
                for parameter in trained:
                    parameter.grad = torch.zeros_like(parameter)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            states = tracking.now
            tracking.phase = "forward"
            tracking.restart()
            with counts[0]:
                outputs = self.model(**self.inputs)
            tracking.phase = "losses"
            begun: list[int] = []
            _told(outputs, lambda: begun.append(counts[2].flops))  # what was made last goes backward first: all losses
            with counts[1]:
                total = summed(outputs) if losses is None else losses(outputs, self.targets)["total"]
            del outputs
            tracking.phase = "backward"
            with counts[2], in_place:
                total.backward()
            del total
            tracking.phase = "optimizer"
            if optimizer is not None:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        return self.result(fake, counts[0], counts[1], counts[2], begun[0] if begun else 0, states)

    def result(
        self,
        fake: bool,
        forward: Counting,
        losses: Counting | None = None,
        backward: Counting | None = None,
        begun: int = 0,
        states: int = 0,
    ) -> Exact:
        """`begun`: FLOPs of the losses' gradients, after which those of the model begin."""
        counts = [each for each in (forward, losses, backward) if each is not None]
        by_operation: Counter[str] = Counter()
        for each in counts:
            by_operation.update(each.by_operation)
        tracking = self.tracking
        return Exact(
            fake=fake,
            forward=forward.flops,
            backward=None if backward is None else backward.flops - begun,
            losses=begun if losses is None else begun + losses.flops,
            operations=by_operation,
            parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            uncounted=tuple(dict.fromkeys(name for each in counts for name in each.uncounted)),
            weights=self.weights,
            inputs=self.given,
            resident=self.weights + self.given + states,
            peak=tracking.peak - states,
            at=tracking.at,
            phase=tracking.peak_phase,
            events=(*self.events, *tracking.events),
        )


class _Decided(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What is asked of tensors that have no numbers is answered as it is priced: everyone goes on, what is checked is right, and
    the optimizer is at its first step. How many there are of something is not known."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        if function.namespace == "prim":  # a tensor is asked about itself, nothing runs
            return NotImplemented
        if function is aten.nonzero.default and isinstance(x := arguments[0], FakeTensor):
            return x.new_empty((x.numel(), x.dim()), dtype=torch.int64)
        if function is aten._local_scalar_dense.default and isinstance(x := arguments[0], FakeTensor):
            if x.dtype == torch.bool:
                return True
            if x.dtype.is_floating_point:
                return 1.0
        return function(*arguments, **(keywords or {}))


def _decided(fake: bool) -> Any:
    return _Decided() if fake else nullcontext()  # type: ignore[no-untyped-call]


@contextmanager
def _uncollected() -> Iterator[None]:
    """What is garbage but for a cycle lives as long as the run lets it: no collector decides when it is measured."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def _plain() -> Iterator[None]:
    """Modules of torch's own run as they do in training: their fast path at inference is one operation that nobody sees into."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _filled(model: nn.Module) -> None:
    """Small numbers in real weights."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.02)


def examples(values: Iterable[Value], sizes: Sizes, device: str = "cpu") -> dict[str, Tensor]:
    """Inputs of a graph, of zeros; what may be left out is."""
    return {value.name: _zeros(value, sizes, device) for value in values if not value.optional}


def targets(spec: ModelSpec, sizes: Sizes, device: str = "cpu") -> dict[str, Tensor]:
    """What the objectives compare with, of zeros, by the column's name."""
    if not spec.objectives:
        return {}
    columns = [value for value in lower_objectives(spec).inputs if value.name.endswith("_target")]
    return {value.name.removesuffix("_target"): _zeros(value, sizes, device) for value in columns}


def _zeros(value: Value, sizes: Sizes, device: str) -> Tensor:
    return torch.zeros(_shape(sizes(value)), dtype=DTYPES[value.dtype], device=device)


def _shape(shape: Iterable[Any]) -> list[int]:
    sizes = list(shape)
    assert all(isinstance(size, int) for size in sizes), f"{sizes} are not bound"
    return sizes


def _told(outputs: Mapping[str, Tensor | None], call: Callable[[], None]) -> None:
    """Call it when the gradient of an output is there."""
    for output in outputs.values():
        if output is not None and output.requires_grad:
            output.register_hook(lambda _: call())  # type: ignore[no-untyped-call]


def summed(outputs: Mapping[str, Tensor | None]) -> Tensor:
    """The sum of all that is trained: the loss of a spec that has none.   Raises UserError"""
    floats = [value.sum() for value in outputs.values() if value is not None and value.requires_grad]
    if not floats:
        raise UserError("nothing in it is trained: there is no backward")
    return sum(floats[1:], floats[0])


def _once(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Those that have a storage of their own, each storage once."""
    found: dict[int, Tensor] = {}
    for tensor in tensors:
        found.setdefault(tensor.untyped_storage()._cdata, tensor)
    return list(found.values())


def _bytes(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().nbytes())
