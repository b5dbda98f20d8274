"""Operations by how much they compute and how often they use a byte (Williams et al. 2009), and how long that takes at the least.

Both axes are logarithmic. On a device with peak P and bandwidth W an operation of F FLOPs and an intensity of I FLOPs per byte
takes max(F / P, F / (I W)) seconds, if it reads its inputs and writes its outputs. What takes equally long lies on a line that
bends at the ridge I = P / W: to its left memory holds operations up, to its right arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from mmspec.cost.breakdown import family
from mmspec.cost.ledger import Entry
from mmspec.cost.quantities import duration, quantity
from mmspec.drawing.scale import Scale

WIDTH, HEIGHT = 992, 400
LEFT, RIGHT, TOP, BOTTOM = 66, 18, 16, 46
ROOM = 5.0


@dataclass(frozen=True)
class Roof:
    """A device at a precision: FLOPs per second, bytes per second."""

    device: str
    precision: str
    peak: float
    bandwidth: float

    @property
    def ridge(self) -> float:
        """FLOPs per byte."""
        return self.peak / self.bandwidth

    def seconds(self, flops: float, intensity: float) -> float:
        return max(flops / self.peak, flops / (intensity * self.bandwidth))


@dataclass(frozen=True)
class Point:
    path: str
    kind: str
    family: str
    runs: int
    flops: int  # of all runs
    intensity: float


def points(bill: Entry) -> list[Point]:
    """Of every operation that has products and moves something."""
    return [
        Point(line.path, line.kind, family(line), runs, runs * line.forward.flops, line.forward.intensity)
        for line, runs in bill.operations()
        if runs and line.forward.flops and line.forward.intensity
    ]


def draw(found: Sequence[Point], roof: Roof | None) -> str:
    """An `<svg>`; nothing where nothing has products."""
    if not found:
        return ""
    xs, ys = [point.intensity for point in found], [point.flops for point in found]
    room = [roof.ridge / ROOM, roof.ridge * ROOM] if roof else []  # for words on both sides of the ridge
    across = Scale(
        min([*(x / 1.6 for x in xs), *room]), max([*(x * 1.6 for x in xs), *room]), LEFT, WIDTH - RIGHT, log=True
    )
    up = Scale(min(ys) / 2.5, max(ys) * 2.5, HEIGHT - BOTTOM, TOP, log=True)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="operations by FLOPs and intensity" class="plot">'
    ]
    parts += _axes(across, up)
    parts += _roofs(roof, across, up) if roof else []
    parts += [_point(point, roof, across, up) for point in found]
    return "\n".join([*parts, "</svg>"])


def _axes(across: Scale, up: Scale) -> Iterator[str]:
    floor = HEIGHT - BOTTOM
    for tick in up.ticks():
        y = up(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>'
    for tick in across.ticks():
        x = across(tick)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{floor}"/>'
        yield f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{_short(tick)}</text>'
    middle, height = (LEFT + WIDTH - RIGHT) / 2, (TOP + floor) / 2
    yield f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">FLOPs per byte</text>'
    yield f'<text class="axis" transform="translate(14 {height}) rotate(-90)" text-anchor="middle">FLOPs in one pass</text>'


def _roofs(roof: Roof, across: Scale, up: Scale) -> Iterator[str]:
    floor = HEIGHT - BOTTOM
    ridge = across(roof.ridge)
    yield f'<rect class="bound" x="{LEFT}" y="{TOP}" width="{ridge - LEFT:.1f}" height="{floor - TOP}"/>'
    yield f'<text class="side" x="{ridge - 8:.1f}" y="{floor - 8}" text-anchor="end">memory holds it up</text>'
    yield f'<text class="side" x="{ridge + 8:.1f}" y="{floor - 8}">arithmetic does</text>'
    low, high = roof.seconds(up.low, across.high), roof.seconds(up.high, across.low)
    for exponent in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        seconds = 10.0**exponent
        corners = [(x, seconds * min(roof.peak, x * roof.bandwidth)) for x in (across.low, roof.ridge, across.high)]
        inside = _clipped(corners, up)
        if not inside:
            continue
        path = "M" + "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in inside)
        yield f'<path class="roof" d="{path}"/>'
        x, y = inside[-1]
        yield f'<text class="roof-label" x="{across(x) - 4:.1f}" y="{up(y) - 5:.1f}" text-anchor="end">{duration(seconds)}</text>'


def _clipped(corners: Sequence[tuple[float, float]], up: Scale) -> list[tuple[float, float]]:
    """The stretch of a line that rises and then stays level which lies between the axes' ends; straight in logarithms."""
    (x0, y0), (x1, y1), (x2, _) = corners
    if y1 <= up.low or y0 >= up.high:
        return []
    start = (x0, y0) if y0 >= up.low else (x0 * up.low / y0, up.low)
    if y1 > up.high:
        return [start, (x0 * up.high / y0, up.high)]
    return [start, (x1, y1), (x2, y1)]


def _point(point: Point, roof: Roof | None, across: Scale, up: Scale) -> str:
    said = f"{point.path}\n{point.kind}{f' ×{point.runs}' if point.runs > 1 else ''}\n{quantity(point.flops)}FLOPs, "
    said += f"{point.intensity:.1f} per byte"
    if roof:
        side = "memory" if point.intensity < roof.ridge else "arithmetic"
        said += f"\n{duration(roof.seconds(point.flops, point.intensity))}, held up by {side}"
    x, y = across(point.intensity), up(point.flops)
    return f'<circle class="dot {point.family}" cx="{x:.1f}" cy="{y:.1f}" r="5.5" data-tip="{escape(said)}"/>'


def _short(value: float) -> str:
    """A tick: 1 k, 0.5, 20."""
    return quantity(value).replace(".00", "").replace(".0 ", " ") if value >= 1000 else f"{value:g}"
