"""What a spec is said to hold, beside what torch holds: at inference and in a training step, plain, under autocast to bfloat16 and
with blocks recomputed.

    python benchmarks/memory.py [MODEL ...]

torch's figure is of the same modules in the same run, at their real sizes on fake tensors (no numbers, all shapes): the most bytes
of storages that anything refers to at once, gradients and the optimizer's step included. A model whose routers look at numbers is
run for real. Limits: 1 % at inference, 3 % in training.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import mmspec
from mmspec.backend.build import build_graph, build_objectives
from mmspec.backend.recompute import recompute_blocks
from mmspec.backend.runtime import Loop, Stages
from mmspec.backend.tracking import Tracking
from mmspec.cost.inference import activations
from mmspec.cost.step import Step
from mmspec.cost.training import step_memory
from mmspec.ir import bind
from mmspec.passes import lower, lower_objectives
from mmspec.testing import bound_sizes, example

MODELS = {  # and a batch
    "vit_b16": 16, "bert_base": 8, "clip_vit_b32": 32, "swin_t": 16, "convnext_t": 16, "gpt2_small": 2, "llama_1b": 1, "t5_base": 4,
    "fusion_gated": 32,
}  # fmt: skip
REAL = ("fusion_gated",)
WAYS = {
    "plain": Step(),
    "autocast": Step(precision="bf16-autocast"),
    "checkpointing": Step(checkpoint=True),
}
DTYPES = {"f32": torch.float32, "i64": torch.int64, "bool": torch.bool}
LIMITS = {"inference": 0.01, "training": 0.03}


class Subject:
    """A model on fake tensors or real ones, with inputs and targets."""

    def __init__(self, name: str, batch: int) -> None:
        self.spec = mmspec.load(name)
        self.graph, self.losses = lower(self.spec), lower_objectives(self.spec)
        self.sizes = {"B": batch, **self.graph.limits}
        self.fake: Any = contextlib.nullcontext() if name in REAL else FakeTensorMode(allow_non_fake_inputs=True)
        with self.fake:
            self.model = build_graph(self.graph, fresh=name in REAL).train()
            self.objectives = build_objectives(self.spec)
            self.inputs = {value.name: self.tensor(value) for value in self.graph.inputs if not value.optional}
            if name in REAL:  # tokens that differ, which routers send to different experts
                self.inputs = example(self.graph, batch)
                self.sizes |= bound_sizes(self.graph, self.inputs)
            for module in self.model.modules():
                if isinstance(module, (Loop, Stages)):
                    module.force(module.earlier)  # to the end, which is what is predicted
            asked = [value for value in self.losses.inputs if value.name not in self.graph.outputs]
            self.targets = {value.name.removesuffix("_target"): self.tensor(value) for value in asked}

    def tensor(self, value: Any) -> torch.Tensor:
        return torch.ones([bind(size, self.sizes) for size in value.shape], dtype=DTYPES[value.dtype])

    def trained(self, step: Step) -> int:
        """The peak of a step, the optimizer's states there already."""
        recompute_blocks(self.model.train(), step.checkpoint)
        with self.fake:
            optimizer = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], lr=0.0)
            self.once(step)
            optimizer.step()
            optimizer.zero_grad()
            there = [*self.there(), *(value for state in optimizer.state.values() for value in state.values())]
            with Tracking(there) as held:
                self.once(step)
                optimizer.step()
            optimizer.zero_grad()
        return held.peak + nbytes(there)

    def once(self, step: Step) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=step.precision == "bf16-autocast"):
            losses = self.objectives(self.model(**self.inputs), self.targets)
        losses["total"].backward()

    def inferred(self, step: Step) -> int:
        self.model.eval()
        lower = step.precision == "bf16-autocast"
        with (
            self.fake,
            torch.no_grad(),
            Tracking(self.there()) as held,
            torch.autocast("cpu", torch.bfloat16, enabled=lower),
        ):
            self.model(**self.inputs)
        return held.peak + nbytes([*self.model.parameters()])

    def there(self) -> list[torch.Tensor]:
        return [*self.model.parameters(), *self.model.buffers(), *self.inputs.values(), *self.targets.values()]


def nbytes(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


def rows(name: str, batch: int) -> Iterator[tuple[str, str, int, int, float, float]]:
    """What is measured, in which way, ours, torch's, and how long each took."""
    subject = Subject(name, batch)
    weights = nbytes([*subject.model.parameters()])
    for way, step in WAYS.items():
        for what in ("inference", "training"):
            if what == "inference" and step.checkpoint:
                continue
            start = time.perf_counter()
            if what == "training":
                ours: Any = step_memory(subject.graph, subject.losses, subject.sizes, step, watched=True).peak
            elif way == "plain":  # what `mmspec profile` says
                lengths = {symbol: size for symbol, size in subject.sizes.items() if symbol != "B"}
                ours = mmspec.profile(subject.spec, batch, graph=subject.graph, **lengths)["memory.peak_inference"]
            else:
                ours = weights + activations(subject.graph, subject.sizes, step, watched=True)  # type: ignore[operator]
            between = time.perf_counter()
            torchs = subject.trained(step) if what == "training" else subject.inferred(step)
            yield what, way, ours, torchs, between - start, time.perf_counter() - between


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    asked = sys.argv[1:] or list(MODELS)
    worst = dict.fromkeys(LIMITS, 0.0)
    print(
        f"{'model':<14}{'batch':>6}  {'':<10}{'':<14}{'ours':>10}{'torch':>10}{'difference':>12}{'ours':>9}{'torch':>9}"
    )
    for name in asked:
        for what, way, ours, torchs, seconds, theirs in rows(name, MODELS[name]):
            off = ours / torchs - 1
            worst[what] = max(worst[what], abs(off))
            print(
                f"{name:<14}{MODELS[name]:>6}  {what:<10}{way:<14}{ours / 1e9:>7.3f} GB{torchs / 1e9:>7.3f} GB{off:>+11.3%} "
                f"{seconds * 1e3:>6.0f} ms{theirs:>7.1f} s",
                flush=True,
            )
    for what, limit in LIMITS.items():
        print(f"{what}: at most {worst[what]:.3%} off; limit {limit:.0%} {'met' if worst[what] <= limit else 'MISSED'}")


if __name__ == "__main__":
    main()
