"""Which machine figures were measured on, so that nobody takes them for another's. Imports no torch."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
USUAL_CACHE = 32 << 20  # bytes of the last cache where the system does not tell


@dataclass(frozen=True)
class Machine:
    """What decides how fast the same code runs; two that are equal are taken for the same."""

    cpu: str
    cores: int
    threads: int
    torch: str
    system: str

    def to_dict(self) -> dict[str, str | int]:
        return asdict(self)

    @property
    def name(self) -> str:
        """Fit for the name of a file."""
        words = re.sub(
            r"[^A-Za-z0-9.]+", "-", f"{self.cpu} {self.cores} cores {self.threads} threads torch {self.torch}"
        )
        return words.strip("-").lower()

    def __str__(self) -> str:
        return f"{self.cpu}, {counted(self.cores, 'core')}, {counted(self.threads, 'thread')}, torch {self.torch}"

    def differences(self, other: Mapping[str, object]) -> list[str]:
        """What is another there, in words; empty for the same machine."""
        mine = self.to_dict()
        return [
            f"{name} {other.get(name, 'unknown')} there, {mine[name]} here"
            for name in mine
            if other.get(name) != mine[name]
        ]


def this_machine(threads: int) -> Machine:
    """With so many threads."""
    return Machine(_cpu(), _cores(), threads, metadata.version("torch"), f"{platform.system()} {platform.machine()}")


def foreign(record: Mapping[str, object], threads: int | None = None) -> str:
    """A warning where figures were measured on another machine than this; empty where they were measured here. `threads` may be
    left out where they do not matter."""
    own = this_machine(threads if threads is not None else int(str(record.get("threads", 1))))
    found = own.differences(record)
    return f"measured on another machine: {'; '.join(found)}" if found else ""


def last_cache() -> int:
    """Bytes of the largest cache of the processor."""
    sizes = [_bytes(path) for path in CACHES.glob("index*/size")]
    return max(sizes, default=USUAL_CACHE)


def cache_folder() -> Path:
    """Where measurements of this user's machine are kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mmspec"


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@cache
def _cpu() -> str:
    """Its maker's name for it, with family, model and stepping where the name is a whole family's."""
    said: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            said[key.strip()] = value.strip()
    except OSError:
        pass
    name = said.get("model name") or platform.processor() or platform.machine()
    numbers = [said[key] for key in ("cpu family", "model", "stepping") if key in said]
    return f"{name} ({'.'.join(numbers)})" if numbers else name


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _bytes(path: Path) -> int:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return 0
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(text.rstrip("KMG")) * units.get(text[-1:], 1) if text.rstrip("KMG").isdigit() else 0
