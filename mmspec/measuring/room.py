"""Whether what is to be run fits into this machine's memory, asked before it is made."""

from __future__ import annotations

from pathlib import Path

from mmspec.backend.build import memory_bytes
from mmspec.cost.quantities import quantity
from mmspec.errors import UserError


def free_bytes() -> int:
    """Bytes that a new program may take, by the system's own estimate; all of the memory where it has none."""
    total = memory_bytes()
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return min(total, 1024 * int(line.split()[1]))
    except (OSError, ValueError):
        pass
    return total


def check_room(weights: int, activations: int, what: str, free: int | None = None) -> None:
    """Raise UserError, with both figures, where weights and activations are more than is `free`, here where it is not said."""
    free = free_bytes() if free is None else free
    if weights + activations > free:
        raise UserError(
            f"{what} takes {quantity(weights + activations, 'B')} ({quantity(weights, 'B')} of weights, "
            f"{quantity(activations, 'B')} of activations), and {quantity(free, 'B')} of memory are free: not started"
        )
