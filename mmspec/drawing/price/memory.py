"""Memory over time: the bytes that are alive at each operation, the nodes they belong to, and the peak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from mmspec.cost.quantities import quantity
from mmspec.cost.timeline import Moment
from mmspec.drawing.measure import cut, width
from mmspec.drawing.scale import Scale

WIDTH, HEIGHT = 992, 300
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 34, 26
MOST = 1500  # steps that are drawn; of more, the highest of several stands for them


def draw(moments: Sequence[Moment], throughout: int = 0) -> str:
    """An `<svg>`; nothing where nothing runs.   `throughout`: bytes that are there all the time, of those that are alive"""
    if not moments:
        return ""
    high = max(moment.alive for moment in moments) or 1
    across = Scale(0, len(moments), LEFT, WIDTH - RIGHT)
    up = Scale(0, high * 1.08, HEIGHT - BOTTOM, TOP)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="memory over time" class="plot">']
    parts += _nodes(moments, across)
    for tick in up.ticks():
        y = up(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{quantity(tick, "B")}</text>')
    if throughout:
        y = up(throughout)
        parts.append(f'<line class="floor" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="side" x="{LEFT + 8}" y="{y + 15:.1f}">{quantity(throughout, "B")} throughout</text>'
        )
    parts += _steps(moments, across, up)
    parts += _peak(moments, across, up)
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{len(moments):,} operations, in order</text>'
    )
    return "\n".join([*parts, "</svg>"])


def _nodes(moments: Sequence[Moment], across: Scale) -> Iterator[str]:
    """A band for each node, or for each phase of a training step, named above."""
    names = [moment.phase or moment.path.partition(".")[0] for moment in moments]
    for index, moment in enumerate(moments):
        if index and moment.kind == "exit":  # a head that is asked in between
            names[index] = names[index - 1]
    start, odd = 0, False
    for name, group in groupby(names):
        count = len(list(group))
        left, right = across(start), across(start + count)
        if odd:
            yield f'<rect class="band" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{HEIGHT - TOP - BOTTOM}"/>'
        if width(name, 11.5) <= right - left - 4:
            yield f'<text x="{(left + right) / 2:.1f}" y="{TOP - 8}" text-anchor="middle">{escape(name)}</text>'
        start, odd = start + count, not odd


def _steps(moments: Sequence[Moment], across: Scale, up: Scale) -> Iterator[str]:
    each = -(-len(moments) // MOST)
    parts, line = [], ""
    for start in range(0, len(moments), each):
        some = moments[start : start + each]
        top = max(some, key=lambda moment: moment.alive)
        x, end, y = across(start), across(start + len(some)), up(top.alive)
        line += f"{'V' if line else f'M{x:.1f} '}{y:.1f}H{end:.1f}"
        said = f"{top.path or 'the losses'}\n{top.kind}{f', {top.phase}' if top.phase else ''}\n{quantity(top.alive, 'B')} alive"
        parts.append(
            f'<rect class="touch" x="{x:.1f}" y="{TOP}" width="{max(0.4, end - x):.2f}" height="{HEIGHT - TOP - BOTTOM}" '
            f'data-tip="{escape(said)}"/>'
        )
    floor = HEIGHT - BOTTOM
    yield f'<path class="filled" d="{line}V{floor}H{LEFT}Z"/>'
    yield f'<path class="line" d="{line}"/>'
    yield from parts


def _peak(moments: Sequence[Moment], across: Scale, up: Scale) -> Iterator[str]:
    index = max(range(len(moments)), key=lambda i: moments[i].alive)
    peak = moments[index]
    x, y = (across(index) + across(index + 1)) / 2, up(peak.alive)
    text = cut(f"{quantity(peak.alive, 'B')} at {peak.path}", WIDTH - LEFT - RIGHT - 30, 12)
    end = x > (LEFT + WIDTH - RIGHT) / 2
    at = f'x="{x - 9:.1f}" text-anchor="end"' if end else f'x="{x + 9:.1f}"'
    yield f'<circle class="peak" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    yield f'<text class="peak-label" {at} y="{y - 5:.1f}">{escape(text)}</text>'
