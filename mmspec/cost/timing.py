"""How long operations take: what a trace and a column of a table show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mmspec.cost.ledger import Entry
from mmspec.cost.on_device import OnDevice
from mmspec.cost.roofline import operation_times, peaks_of

Seconds = Callable[[Entry], float]  # of a line, all its runs in one of its parent
WHOLE = 1 << 30  # deeper than any model


@dataclass(frozen=True)
class Timing:
    """Where durations come from.

    said    in words, "each operation at its roof on H100 in bf16, no measurement"
    depth   how deep they are known: 1 is nodes alone
    """

    seconds: Seconds
    said: str
    depth: int = WHOLE


def lower_bounds(on: OnDevice) -> Timing:
    """Of each operation at its roof; of the bill that is of the device's precision."""
    device, precision = on.roofline.device, on.roofline.precision
    peaks = peaks_of(device, precision)
    known = "" if None not in peaks.values() else ", of memory alone: its peak is not known"

    def seconds(line: Entry) -> float:
        return sum(time.seconds for time in operation_times(line, on.sizes, peaks, device))

    return Timing(seconds, f"each operation at its roof on {device.name} in {precision}, no measurement{known}")


def of_nodes(seconds: Mapping[str, float], said: str) -> Timing:
    """Measured times of nodes by name; what is inside them, and what stands between them, is not known."""
    return Timing(lambda line: seconds.get(line.path, 0.0), said, depth=1)
