"""The files that devices stand in: what may be written, and every mistake at its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt

from mmspec.spec import reader
from mmspec.spec.diagnostics import SpecError, did_you_mean, listing
from mmspec.spec.document import Document, read_document
from mmspec.spec.source import Source

PUBLISHED = Path(__file__).with_name("devices.yaml")


class Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class SourceRecord(Record):
    document: str
    place: str = ""
    date: str = ""


class Written(Record):
    """A figure; alone, a number says the same. `bus_bits` and `gbit_per_pin`, of a bandwidth, are what it is the product of."""

    value: PositiveFloat
    source: str = ""
    derived: str = ""
    note: str = ""
    bus_bits: PositiveInt | None = None
    gbit_per_pin: PositiveFloat | None = None


class WrittenPeak(Record):
    dense: PositiveFloat
    sparse: PositiveFloat | None = None
    source: str = ""
    derived: str = ""
    note: str = ""


def _figure(said: Any) -> Any:
    return {"value": said} if isinstance(said, (int, float)) and not isinstance(said, bool) else said


def _peak(said: Any) -> Any:
    return {"dense": said} if isinstance(said, (int, float)) and not isinstance(said, bool) else said


FigureField = Annotated[Written | None, BeforeValidator(_figure)]
PeakField = Annotated[WrittenPeak | None, BeforeValidator(_peak)]


class Peaks(Record):
    fp64: PeakField = None
    fp32: PeakField = None
    tf32: PeakField = None
    bf16: PeakField = None
    fp16: PeakField = None
    fp8: PeakField = None
    int8: PeakField = None
    int4: PeakField = None


class Reasons(Record):
    fp64: str | None = None
    fp32: str | None = None
    tf32: str | None = None
    bf16: str | None = None
    fp16: str | None = None
    fp8: str | None = None
    int8: str | None = None
    int4: str | None = None


class Cycle(Record):
    """Operations of one core in one cycle."""

    fp64: PositiveInt | None = None
    fp32: PositiveInt | None = None
    bf16: PositiveInt | None = None
    fp16: PositiveInt | None = None
    int8: PositiveInt | None = None


class MachineRecord(Record):
    """What figures were measured on: see `mmspec calibrate-device`."""

    cpu: str
    cores: PositiveInt
    threads: PositiveInt
    torch: str
    system: str


FIGURES = ("memory_gb", "bandwidth_gb_s", "cache_mb", "watts", "held_back_gb")


class DeviceFile(Record):
    """A device as it is written; what it leaves out is that of the device that it extends."""

    extends: str | None = None
    name: str | None = None
    kind: Literal["gpu", "soc", "cpu"] | None = None
    architecture: str | None = None
    aliases: list[str] = Field(default_factory=list)
    cores: PositiveInt | None = None
    ghz: PositiveFloat | None = None
    flops_per_cycle: Cycle | None = None
    memory_gb: FigureField = None
    bandwidth_gb_s: FigureField = None
    cache_mb: FigureField = None
    watts: FigureField = None
    held_back_gb: FigureField = None
    peak_tflops: Peaks | None = None
    absent: Reasons | None = None
    unknown: Reasons | None = None
    machine: MachineRecord | None = None


class Catalogue(Record):
    sources: dict[str, SourceRecord]
    devices: dict[str, DeviceFile]


@cache
def catalogue() -> Catalogue:
    """The published devices as they are written."""
    text = Source(PUBLISHED.name, PUBLISHED.read_text(encoding="utf-8"))
    return read_document(text, Catalogue, "the table of devices").record


@cache
def names() -> Mapping[str, str]:
    """Devices by name and by alias."""
    written = catalogue().devices
    return {name: key for key, entry in written.items() for name in (key, *entry.aliases)}


def heritage(key: str) -> list[DeviceFile]:
    """A published device and those that it extends, the furthest first."""
    entry = catalogue().devices[key]
    return [*(heritage(entry.extends) if entry.extends else []), entry]


def last(parts: Sequence[DeviceFile], name: str) -> Any:
    """What the last of them says that says it; None where none does."""
    return next((value for part in reversed(parts) if (value := getattr(part, name)) is not None), None)


def read_parts(path: str) -> list[DeviceFile]:
    """A device of the user's file, after those that it extends.   Raises SpecError: everything that is wrong, located."""
    document = read_document(reader.read_file(path), DeviceFile, "the device")
    written, parts = document.record, [document.record]
    if written.extends is not None:
        key = names().get(written.extends)
        if key is None:
            hint = did_you_mean(written.extends, names()) or f"; devices are {listing(catalogue().devices)}"
            raise SpecError([document.diagnostic(("extends",), f"there is no device {written.extends!r}{hint}")])
        parts = [*heritage(key), written]
    _check(document, parts)
    return parts


def _check(document: Document[DeviceFile], parts: list[DeviceFile]) -> None:
    lacking = [name for name in ("memory_gb", "bandwidth_gb_s") if last(parts, name) is None]
    found = [
        document.diagnostic((), f"the device has no {name}", "a device has memory_gb and bandwidth_gb_s")
        for name in lacking
    ]
    if last(parts, "flops_per_cycle") and not (last(parts, "cores") and last(parts, "ghz")):
        found.append(document.diagnostic(("flops_per_cycle",), "operations per cycle need cores and ghz beside them"))
    if found:
        raise SpecError(found)
