"""What this machine can do at most: matrix products by type, memory, and the least that an operation takes.

A roof is the best that any of several ways to ask for it gave, at any size: what is slower than the roof is then slow by its own
fault. The roof of memory is the fastest of reading, copying and adding arrays that are far larger than the caches.
"""

from __future__ import annotations

import datetime
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmspec.backend.build import memory_bytes
from mmspec.measuring.calibration import threads_of
from mmspec.measuring.machine import Machine, last_cache, this_machine
from mmspec.measuring.times import Times

SIDES = (256, 512, 1024, 2048)
EMULATED = 4  # a type that is so many times slower than float32 has no kernel of its own
DTYPES = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Roof:
    """A rate: of each way that was tried the best, per second, and how far its runs are spread."""

    tried: Mapping[str, float]
    spreads: Mapping[str, float | None]

    @property
    def way(self) -> str:
        return max(self.tried, key=lambda way: self.tried[way])

    @property
    def best(self) -> float:
        return self.tried[self.way]

    @property
    def spread(self) -> float | None:
        return self.spreads[self.way]


@dataclass(frozen=True)
class MeasuredDevice:
    """peaks   FLOPs (of integers: operations) per second by precision; `absent`: why there is none
    bandwidth  bytes per second
    overhead   seconds of the least operation, and of entering a module"""

    machine: Machine
    date: str
    memory: int
    cache: int
    peaks: Mapping[str, Roof]
    absent: Mapping[str, str]
    bandwidth: Roof
    overhead: Mapping[str, Times]

    @property
    def name(self) -> str:
        return f"{self.machine.cpu}, {self.machine.threads} thread{'s' if self.machine.threads > 1 else ''}, measured"

    def to_dict(self) -> dict[str, Any]:
        def roof(found: Roof, unit: float) -> dict[str, Any]:
            return {
                "best": found.best / unit, "way": found.way, "spread": found.spread,
                "tried": {way: rate / unit for way, rate in found.tried.items()},
            }  # fmt: skip

        return {
            "name": self.name, "date": self.date, "machine": self.machine.to_dict(),
            "memory_gb": self.memory / 1e9, "cache_mb": self.cache / 1e6,
            "bandwidth_gb_s": roof(self.bandwidth, 1e9),
            "peak_tflops": {name: roof(found, 1e12) for name, found in self.peaks.items()},
            "absent": dict(self.absent),
            "overhead_us": {name: 1e6 * times.median for name, times in self.overhead.items()},
        }  # fmt: skip

    def to_yaml(self) -> str:
        """The file that `--device` reads."""
        quoted = json.dumps
        source = quoted(f"measured {self.date} by mmspec calibrate-device")
        record = ", ".join(f"{key}: {quoted(value)}" for key, value in self.machine.to_dict().items())

        def figure(key: str, value: float, note: str) -> str:
            return f"{{{key}: {_digits(value)}, source: {source}, note: {quoted(note)}}}"

        lines = [
            f"# What {self.machine} can do at most.",
            "#",
            "#   mmspec calibrate-device -o this_machine.yaml",
            "#   mmspec profile SPEC --device this_machine.yaml",
            "",
            f"name: {quoted(self.name)}",
            "kind: cpu",
            f"machine: {{{record}}}",
            f"memory_gb: {{value: {_digits(self.memory / 1e9)}, source: {source}}}",
            f"cache_mb: {{value: {_digits(self.cache / 1e6)}, source: {source}}}",
            f"bandwidth_gb_s: {figure('value', self.bandwidth.best / 1e9, _noted(self.bandwidth))}",
            "peak_tflops:",
            *(f"  {name}: {figure('dense', found.best / 1e12, _noted(found))}" for name, found in self.peaks.items()),
        ]
        if self.absent:
            lines += ["absent:", *(f"  {name}: {quoted(why)}" for name, why in self.absent.items())]
        return "\n".join(lines) + "\n"


def measure_device(threads: int = 1, seconds: float = 20.0, progress: Progress = lambda text: None) -> MeasuredDevice:
    """Of the processor, with so many threads, in about `seconds`."""
    slot = seconds / 30  # about so many things are timed
    with threads_of(threads), torch.inference_mode():
        progress("memory")
        bandwidth = _bandwidth(2 * slot)
        progress("small operations")
        overhead = _overhead(slot)
        peaks: dict[str, Roof] = {}
        absent: dict[str, str] = {}
        for name in (*DTYPES, "int8"):
            progress(f"products of {name}")
            try:
                found = _peak(name, slot)
            except (RuntimeError, NotImplementedError, AttributeError) as error:
                absent[name] = f"torch has no product of it here: {' '.join(str(error).split())[:100]}"
                continue
            if "fp32" in peaks and name != "fp64" and found.best < peaks["fp32"].best / EMULATED:
                absent[name] = f"torch has no kernel for it here: its products reach {found.best / 1e12:.2g} TFLOP/s"
            else:
                peaks[name] = found
    date = datetime.date.today().isoformat()
    return MeasuredDevice(this_machine(threads), date, memory_bytes(), last_cache(), peaks, absent, bandwidth, overhead)


def _timed(run: Callable[[], Any], seconds: float) -> Times:
    """At least three runs after a first one; that one alone where it took longer than all of them should."""
    start = time.perf_counter()
    run()
    found: list[float] = []
    end = time.perf_counter() + seconds
    if end - start > 4 * seconds:
        return Times((end - seconds - start,))
    while len(found) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return Times(tuple(found))


def _roof(ways: Mapping[str, tuple[float, Callable[[], Any]]], seconds: float) -> Roof:
    """The best rate of each way: `amount` done in the fastest of its runs. A way that torch does not know is left out."""
    tried: dict[str, float] = {}
    spreads: dict[str, float | None] = {}
    refused: Exception | None = None
    for way, (amount, run) in ways.items():
        try:
            times = _timed(run, seconds)
        except (RuntimeError, NotImplementedError) as error:
            refused = error
            continue
        tried[way], spreads[way] = amount / times.minimum, times.spread
        if times.spread is None:  # so slow that one run was enough: it is no roof at a larger size either
            break
    if not tried:
        assert refused is not None
        raise refused
    return Roof(tried, spreads)


def _bandwidth(seconds: float) -> Roof:
    count = max(4 * last_cache(), 64 << 20) // 4
    a, b, c = (torch.rand(count) for _ in range(3))
    size = 4 * count
    return _roof(
        {
            "read": (size, lambda: a.sum()),
            "copy": (2 * size, lambda: b.copy_(a)),
            "triad": (3 * size, lambda: torch.add(a, b, alpha=3.0, out=c)),
        },
        seconds,
    )


def _overhead(seconds: float) -> dict[str, Times]:
    one, module = torch.zeros(1), torch.nn.Identity()
    number = 100  # a clock's own cost is spread over so many

    def add() -> None:
        for _ in range(number):
            torch.add(one, one)

    def enter() -> None:
        for _ in range(number):
            module(one)

    found = {"operation": _timed(add, seconds), "module": _timed(enter, seconds)}
    return {name: Times(tuple(each / number for each in times.seconds)) for name, times in found.items()}


def _peak(precision: str, seconds: float) -> Roof:
    ways: dict[str, tuple[float, Callable[[], Any]]] = {}
    for side in SIDES:
        flops = 2.0 * side**3
        if precision == "int8":
            a, b = (torch.randint(-8, 8, (side, side), dtype=torch.int8) for _ in range(2))
            ways[f"_int_mm {side}"] = flops, _call(torch._int_mm, a, b)
            continue
        x, w = (torch.randn(side, side).to(DTYPES[precision]) for _ in range(2))
        ways[f"matmul {side}"] = flops, _call(torch.mm, x, w)
        if precision != "fp64" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            ways[f"oneDNN {side}"] = flops, _call(_onednn, x, w)
    return _roof(ways, seconds)


def _call(function: Callable[..., Any], *given: Tensor) -> Callable[[], Any]:
    return lambda: function(*given)


def _onednn(x: Tensor, weight: Tensor) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    return product


def _noted(found: Roof) -> str:
    spread = "" if found.spread is None else f"; the middle half of its runs spreads over {found.spread:.1%}"
    return f"best of {len(found.tried)}: {found.way}{spread}"


def _digits(number: float) -> str:
    """Four significant digits, rounded up in the last: a roof is not below what was measured."""
    step = 10.0 ** (math.floor(math.log10(number)) - 3)
    return f"{math.ceil(number / step - 1e-9) * step:.10g}"
