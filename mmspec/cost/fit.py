"""What fits on a device: the memory that a run needs, what is held back, and the largest batch.

    needed     weights + inputs + the activations that live at once, at the run's precision
    allowed    (memory - held) / (1 + slack)

`held` is what a context, libraries or the system keep for themselves, unless the device says its own `held_back_gb`; `slack` is
what a caching allocator reserves over what lives (5 to 12 % where it was simulated). Both are assumptions, and are printed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mmspec.cost.devices import GIGA, Device
from mmspec.cost.flops import Sizes
from mmspec.cost.memory import peak_activations
from mmspec.cost.step import Step
from mmspec.ir import Graph
from mmspec.ir.graph import parameter_count

HELD = {"gpu": 0.8 * GIGA, "soc": 2 * GIGA, "cpu": 2 * GIGA}  # CUDA's context and libraries; a system and its programs
SLACK = 0.12
MOST = 1 << 40  # samples; no device holds as many


@dataclass(frozen=True)
class Fit:
    """Bytes; `largest` batch: 0 where not even one sample fits. `training`: the same of a step, where it is said how it is done."""

    device: Device
    precision: str
    batch: int
    weights: int
    needed: int
    held: int
    allowed: int
    largest: int
    training: Fit | None = None

    @property
    def fits(self) -> bool:
        return self.needed <= self.allowed

    def to_dict(self) -> dict[str, Any]:
        return {
            "device": self.device.key, "precision": self.precision, "batch": self.batch, "fits": self.fits,
            "needed": self.needed, "weights": self.weights, "allowed": self.allowed, "memory": self.device.memory,
            "held_back": self.held, "allocator_slack": SLACK, "largest_batch": self.largest,
            "training": self.training and {
                "step": str(self.training.precision), "fits": self.training.fits, "needed": self.training.needed,
                "largest_batch": self.training.largest,
            },
        }  # fmt: skip


def fit(graph: Graph, sizes: Mapping[str, int], device: Device, precision: str, floats: int) -> Fit:
    """Whether inference at `sizes` fits, and the largest batch that does at the same lengths. `floats`: bytes of a number."""
    weights = floats * parameter_count(graph)
    allowed, held = room(device)

    def needs(batch: int) -> int:
        return weights + needed(graph, Sizes({**sizes, "B": batch}, floats))

    batch = sizes["B"]
    return Fit(device, precision, batch, weights, needs(batch), held, allowed, largest_batch(needs, allowed))


def training_fit(
    graph: Graph, losses: Graph | None, sizes: Mapping[str, int], device: Device, step: Step
) -> Fit | None:
    """The same of a training step, all that it holds included; None where some operation of it has no rule."""
    from mmspec.cost.training import step_memory  # not loaded where nobody asks

    allowed, held = room(device)
    now = step_memory(graph, losses, sizes, step)
    if now.peak is None:
        return None

    def needs(batch: int) -> int:
        peak = step_memory(graph, losses, {**sizes, "B": batch}, step).peak
        assert peak is not None
        return peak

    said = f"{step.optimizer}, {step.precision}"
    return Fit(device, said, sizes["B"], now.weights, now.peak, held, allowed, largest_batch(needs, allowed))


def room(device: Device) -> tuple[int, int]:
    """Bytes that a run may need on a device, and those that are held back before."""
    stated = device.figures.get("held_back_gb")
    held = round(stated.value * GIGA if stated else HELD[device.kind])
    return max(0, int((device.memory - held) / (1 + SLACK))), held


def needed(graph: Graph, sizes: Sizes) -> int:
    """Bytes beside the weights: inputs, and the most activations that live at once."""
    return sum(sizes.bytes(value) for value in graph.inputs if value.function is None) + peak_activations(graph, sizes)


def largest_batch(needs: Callable[[int], int], allowed: int) -> int:
    """The largest batch that needs no more than is allowed, by doubling and bisection; needs never fall with the batch."""
    if needs(1) > allowed:
        return 0
    fits, too_large = 1, 2
    while needs(too_large) <= allowed:
        fits, too_large = too_large, 2 * too_large
        if fits >= MOST:
            return fits
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        if needs(middle) <= allowed:
            fits = middle
        else:
            too_large = middle
    return fits
