"""Devices: what each can do at most, with the source of every figure.

`devices.yaml` beside this file holds the published ones. A file of the user's has the same keys, at its top; it may begin with
`extends: orin-nano` and then say only what differs.

    name: our board
    extends: agx-orin-32gb
    memory_gb: 30
    peak_tflops: {int8: {dense: 40}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from mmspec.cost import device_file
from mmspec.cost.device_file import DeviceFile, last
from mmspec.errors import UserError
from mmspec.spec.diagnostics import did_you_mean, listing

PRECISIONS = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "int4")
BYTES = {
    "fp64": 8.0,
    "fp32": 4.0,
    "tf32": 4.0,
    "bf16": 2.0,
    "fp16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "int4": 0.5,
}  # an element
GIGA = 1e9


@dataclass(frozen=True)
class Source:
    """A document, where in it, and of when (a year, a month or a day)."""

    document: str
    place: str = ""
    date: str = ""

    def __str__(self) -> str:
        return ", ".join(part for part in (self.document, self.place, self.date) if part)


@dataclass(frozen=True)
class Figure:
    """A number and where it comes from. `derived`: how it follows from what the source prints, where that prints another."""

    value: float
    source: Source
    derived: str = ""
    note: str = ""
    sparse: float | None = None  # of a peak: where two of four weights are zero and the chip skips them

    def to_dict(self) -> dict[str, Any]:
        return {
            "value": self.value,
            **({"sparse": self.sparse} if self.sparse is not None else {}),
            "source": {"document": self.source.document, "place": self.source.place, "date": self.source.date},
            "derived": self.derived or None,
            "note": self.note or None,
        }


@dataclass(frozen=True)
class Device:
    """What a device can do at most.

    figures   memory_gb, bandwidth_gb_s and perhaps cache_mb, watts, held_back_gb (what others hold of the memory)
    peaks     by precision: 1e12 operations per second, dense, 2 per multiply-add
    absent    precisions that it has no unit for, unknown those whose peak nobody published; and why
    machine   what the figures were measured on, where they were
    """

    key: str
    name: str
    kind: Literal["gpu", "soc", "cpu"]
    architecture: str
    aliases: tuple[str, ...]
    figures: Mapping[str, Figure]
    peaks: Mapping[str, Figure]
    absent: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] | None = None

    @property
    def memory(self) -> int:
        """Bytes."""
        return round(self.figures["memory_gb"].value * GIGA)

    @property
    def bandwidth(self) -> float:
        """Bytes per second."""
        return self.figures["bandwidth_gb_s"].value * GIGA

    @property
    def cache(self) -> int | None:
        """Bytes of the last cache that the whole chip shares; None where it is not known."""
        return round(self.figures["cache_mb"].value * 1e6) if "cache_mb" in self.figures else None

    def peak(self, precision: str) -> float | None:
        """FLOPs (of integers: operations) per second; None where nobody published it.

        Raises   UserError: no such precision, or none that this device computes in
        """
        if precision in self.peaks:
            return self.peaks[precision].value * 1e12
        if precision not in PRECISIONS:
            hint = did_you_mean(precision, PRECISIONS) or f"; there are {listing(PRECISIONS)}"
            raise UserError(f"there is no precision {precision!r}{hint}")
        if precision in self.unknown:
            return None
        why = f" ({self.absent[precision]})" if precision in self.absent else ""
        raise UserError(f"{self.name} has no {precision}{why}; it has {listing(self.peaks or self.unknown)}")

    def ridge(self, precision: str) -> float | None:
        """FLOPs per byte above which products are bound by arithmetic, below which by memory."""
        peak = self.peak(precision)
        return None if peak is None else peak / self.bandwidth

    def to_dict(self) -> dict[str, Any]:
        return {
            "device": self.key, "name": self.name, "kind": self.kind, "architecture": self.architecture,
            "aliases": list(self.aliases),
            **{name: figure.to_dict() for name, figure in self.figures.items()},
            "peak_tflops": {
                name: {"dense" if key == "value" else key: value for key, value in figure.to_dict().items()}
                for name, figure in self.peaks.items()
            },
            "absent": dict(self.absent), "unknown": dict(self.unknown),
            "machine": None if self.machine is None else dict(self.machine),
        }  # fmt: skip


def device(name: str) -> Device:
    """The device of a name or an alias (`h200`, `H100`, `rtx 4090`), or of a file of the user's (`boards/ours.yaml`).

    Raises   UserError: no such device (the nearest is named).   SpecError: what is wrong with the file, located.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return read_device(name)
    names = device_file.names()
    wanted = "-".join(name.lower().replace("_", " ").replace("-", " ").split())
    if wanted not in names:
        hint = did_you_mean(wanted, names) or f"; devices are {listing(devices())}"
        raise UserError(
            f"there is no device {name!r}{hint}; `mmspec devices` lists them, a file of your own is named by its path"
        )
    return devices()[names[wanted]]


@cache
def devices() -> Mapping[str, Device]:
    """The published devices, in the order of their file."""
    return {key: _resolved(key, device_file.heritage(key)) for key in device_file.catalogue().devices}


def read_device(path: str) -> Device:
    """A device of the user's file.   Raises SpecError: everything that is wrong with it, located."""
    return _resolved(Path(path).stem, device_file.read_parts(path), path)


def _resolved(key: str, parts: Sequence[DeviceFile], path: str = "") -> Device:
    def source(said: str) -> Source:
        if known := device_file.catalogue().sources.get(said):
            return Source(known.document, known.place, known.date)
        return Source(said or f"stated in {path}")

    figures = {
        name: Figure(written.value, source(written.source), written.derived, written.note)
        for name in device_file.FIGURES
        if (written := last(parts, name)) is not None
    }
    peaks: dict[str, Figure] = {}
    absent: dict[str, str] = {}
    unknown: dict[str, str] = {}
    rates: dict[str, int] = {}
    for part in parts:  # what a later one says of a precision takes the place of what was said before
        for place, record in ((absent, part.absent), (unknown, part.unknown)):
            for name, why in _given(record):
                for other in (peaks, absent, unknown):
                    other.pop(name, None)
                place[name] = why
        for name, peak in _given(part.peak_tflops):
            peaks[name] = Figure(peak.dense, source(peak.source), peak.derived, peak.note, peak.sparse)
        rates |= _given(part.flops_per_cycle)
    cores, ghz = last(parts, "cores"), last(parts, "ghz")
    for name, rate in rates.items():
        formula = f"{cores} cores x {ghz:g} GHz x {rate} per cycle"
        peaks.setdefault(name, Figure(cores * ghz * rate / 1000, source("" if path else "x86"), formula))
    return Device(
        key,
        last(parts, "name") or key,
        last(parts, "kind") or "gpu",
        last(parts, "architecture") or "",
        tuple(parts[-1].aliases),
        figures,
        {name: peaks[name] for name in PRECISIONS if name in peaks},
        {name: why for name, why in absent.items() if name not in peaks},
        {name: why for name, why in unknown.items() if name not in peaks},
        machine.model_dump() if (machine := last(parts, "machine")) is not None else None,
    )


def _given(record: BaseModel | None) -> list[tuple[str, Any]]:
    return [] if record is None else [(name, value) for name, value in record if value is not None]
