"""The most memory that a run takes, by three accounts: what tensors hold, what the process grows by, what a CUDA device gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most bytes of storages that live at once, beside those that were there `before`."""

    def __init__(self, before: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.before = {tensor.untyped_storage().data_ptr() for tensor in before}
        self.alive: dict[int, tuple[Any, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        result = function(*arguments, **(keywords or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in self.before:
                reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
                self.alive[reference.cdata] = reference, tensor.untyped_storage().nbytes()
        self.alive = {key: held for key, held in self.alive.items() if not held[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        return result


def held_bytes(run: Callable[[], Any], before: Iterable[Tensor]) -> int:
    """What tensors hold at the most while `run` runs."""
    with torch.no_grad(), Held(before) as held:
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
