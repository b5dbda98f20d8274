"""How a training step is done, as far as memory can tell."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from mmspec.cost.optimizers import OPTIMIZERS
from mmspec.errors import UserError

WHAT = {  # is held in a step, in words
    "weights": "weights", "buffers": "constants and statistics", "states": "optimizer states",
    "master": "weights in float32", "inputs": "inputs and targets", "gradients": "gradients of weights",
    "forward": "activations", "recomputation": "activations, again", "backward": "gradients of activations",
    "optimizer": "the optimizer's temporaries",
}  # fmt: skip

PRECISIONS = ("fp32", "bf16-autocast", "bf16", "fp16")
HALF = ("bf16", "fp16")  # weights of two bytes
ATTENTIONS = ("fused", "materialised")


@dataclass(frozen=True)
class Step:
    """How a training step is done.

    optimizer    adamw (weight by weight, torch's default on a processor), adamw-foreach (all weights at once, its default on CUDA),
                 adamw-fused, adamw-8bit, sgd, sgd-momentum
    precision    fp32; bf16-autocast (weights fp32, products in bf16); bf16, fp16 (weights and everything else)
    master       a copy of weights in fp32, with states in fp32, where weights have two bytes
    checkpoint   blocks of stacks keep their input only, and are run again for their gradients
    attention    fused, or materialised: matrix products and a softmax

    Raises   UserError: a word that is none of these.
    """

    optimizer: str = "adamw"
    precision: str = "fp32"
    master: bool = False
    checkpoint: bool = False
    attention: str = "fused"

    def __post_init__(self) -> None:
        _one_of("optimizer", self.optimizer, tuple(OPTIMIZERS))
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("attention", self.attention, ATTENTIONS)
        if self.master and self.precision not in HALF:
            raise UserError(
                f"master weights are copies of weights in 2 bytes, and with precision {self.precision} there are none"
            )


def _one_of(what: str, said: str, known: tuple[str, ...]) -> None:
    if said not in known:
        near = get_close_matches(said, known, 1)
        hint = f", did you mean '{near[0]}'?" if near else ""
        raise UserError(f"unknown {what} '{said}'{hint}; there are: {', '.join(known)}")
