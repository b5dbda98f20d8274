"""What operations compute and move: the unit in which the ledger counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import add, attrgetter

FAMILIES = ("linear", "convolution", "attention", "experts")
NUMBERS: Callable[[object], tuple[int, ...]] = attrgetter(
    *FAMILIES, "pointwise", "read", "written"
)  # of a `Work`, in order


@dataclass(frozen=True, slots=True)
class Work:
    """Adds up, and is multiplied by how often it is done.

    linear, convolution, attention, experts   FLOPs of products, 2 per multiply-add; `experts`: of whatever an expert computes
    pointwise      elementary operations of everything else: activations, norms, softmax, sums; no FLOPs as we count them
    read, written  bytes: what each operation reads and writes once; a view moves nothing, a fused attention keeps no scores
    """

    linear: int = 0
    convolution: int = 0
    attention: int = 0
    experts: int = 0
    pointwise: int = 0
    read: int = 0
    written: int = 0

    @property
    def flops(self) -> int:
        return self.linear + self.convolution + self.attention + self.experts

    @property
    def macs(self) -> int:
        """Multiply-adds: half of the FLOPs."""
        return self.flops // 2

    @property
    def bytes(self) -> int:
        return self.read + self.written

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte; None where nothing is moved."""
        return self.flops / self.bytes if self.bytes else None

    def __add__(self, other: Work) -> Work:
        return Work(*map(add, NUMBERS(self), NUMBERS(other)))

    def __mul__(self, times: int) -> Work:
        return self if times == 1 else Work(*(times * number for number in NUMBERS(self)))

    def to_dict(self) -> dict[str, int | float | None]:
        families = {name: getattr(self, name) for name in FAMILIES}
        return {
            "flops": self.flops, "macs": self.macs, **families, "pointwise": self.pointwise,
            "read": self.read, "written": self.written, "intensity": self.intensity,
        }  # fmt: skip


NOTHING = Work()
