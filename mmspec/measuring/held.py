"""The most memory that a run takes, by three accounts: what tensors hold, what the process grows by, what a CUDA device gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmspec.backend.tracking import Tracking

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def held_bytes(run: Callable[[], Any], before: Iterable[Tensor]) -> int:
    """What tensors hold at the most while `run` runs."""
    with torch.no_grad(), Tracking(before) as held:
        run()
    return int(held.peak)


def process_growth(run: Callable[[], Any]) -> int | None:
    """By how much the process is larger at its largest than before; None where the system does not tell."""
    try:
        CLEAR.write_text("5")  # the peak begins anew
        before = _kilobytes("VmRSS")
        run()
        return 1024 * max(0, _kilobytes("VmHWM") - before)
    except (OSError, KeyError):
        run()
        return None


def cuda_bytes(run: Callable[[], Any]) -> tuple[int, int]:
    """Allocated and reserved at the most on the CUDA device while `run` runs, with what was there before."""
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()


def _kilobytes(name: str) -> int:
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)
