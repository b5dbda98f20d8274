"""Which bytes torch holds when: the life of every storage that is made while the mode is on.

What an operation holds for itself while it runs (scratch of a kernel) is not seen; fake tensors have storages as real ones do.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmspec.cost.allocator import Event


class Tracking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of storages beside those of `before`, which were there already.

    now, peak   bytes;   at: torch's operation at the peak, and in `phase` what was going on
    events      every birth and death in order, for a simulated allocator
    """

    def __init__(self, before: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._before = [tensor.untyped_storage() for tensor in before]  # held, so that no later one gets their identity
        self._known: dict[int, int | None] = {id(storage): None for storage in self._before}
        self._references: dict[int, Any] = {}
        self._sizes: dict[int, int] = {}
        self._number = 0
        self.now = self.peak = 0
        self.at = self.phase = self.peak_phase = ""
        self.events: list[Event] = []

    def restart(self) -> None:
        """Forget the peak: it is looked for from here on."""
        self.peak, self.at, self.peak_phase = self.now, "", self.phase

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        if function.namespace == "prim":  # a tensor is asked about itself, nothing runs
            return NotImplemented
        result = function(*arguments, **(keywords or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._see(tensor.untyped_storage())
        if self.now > self.peak:
            self.peak, self.at, self.peak_phase = self.now, str(function), self.phase
        return result

    def _see(self, storage: Any) -> None:
        identity, size = id(storage), storage.nbytes()
        if identity in self._known:
            number = self._known[identity]
            if number is None or self._sizes[number] == size:
                return
            self._gone(identity, number)  # it was resized
        self._number += 1
        number = self._number
        # torch gives a storage one Python object for as long as it lives, and that is what is watched
        self._references[number] = weakref.ref(storage, lambda _: self._gone(identity, number))
        self._known[identity], self._sizes[number] = number, size
        self.now += size
        self.events.append(Event(number, size))

    def _gone(self, identity: int, number: int) -> None:
        if (size := self._sizes.pop(number, None)) is None:
            return
        self._references.pop(number)
        self.now -= size
        self.events.append(Event(number, -size))
        self._known.pop(identity, None)


class InPlace(TorchDispatchMode):
    """Sums of gradients where autograd makes them without a mode: into the first, if nobody else holds it. Where a mode is on,
    autograd makes them anew. It must be the last mode that is entered: it counts who holds what it is handed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._alone: tuple[int, int] | None = None
        x = torch.ones(2, device="cpu", requires_grad=True)
        h = x * 2
        with self:  # two gradients that nobody else holds
            (h.sin() + h.cos()).sum().backward()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        if function is torch.ops.aten.add.Tensor and torch._C._current_graph_task_id() != -1 and not keywords:
            first, second = arguments
            if isinstance(second, torch.Tensor) and first.shape == second.shape:
                holders = first._use_count(), torch._C._storage_Use_Count(first.untyped_storage()._cdata)
                if self._alone is None:
                    self._alone = holders
                elif holders == self._alone and _dense(first):
                    return first.add_(second)
        return function(*arguments, **(keywords or {}))


def _dense(tensor: torch.Tensor) -> bool:
    """Whether its numbers lie without gaps and none twice, in whatever order of the axes."""
    step = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != step:
                return False
            step *= size
    return True
