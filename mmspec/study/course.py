"""How a search got there, and all that it tried: hypervolume over trainings and seconds, parallel coordinates. Inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from itertools import accumulate
from typing import Any

from mmspec.drawing.scale import Scale
from mmspec.study import wording
from mmspec.study.importance import searched
from mmspec.study.result import Front, Trained

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 14, 42
MOST_AXES = 10


def volumes(front: Front) -> list[float]:
    """The hypervolume after 0, 1, 2, ... trainings, of the search's own values; empty without a reference."""
    if not front.reference:
        return []
    seen = [replace(t, values=searched(t), confirmed=None) for t in front.trained]
    return [front.hypervolume_of(seen[:n]) or 0.0 for n in range(len(seen) + 1)]


def hypervolume(front: Front) -> str:
    """Two `<svg>`: over trainings, and over the seconds that they took (the sum over all workers). Empty without a reference."""
    heights = volumes(front)
    if not heights:
        return ""
    seconds = [0.0, *accumulate(t.seconds for t in front.trained)]
    over = _steps([float(n) for n in range(len(heights))], heights, "trainings")
    return over + _steps(seconds, heights, "seconds of training")


def _steps(xs: Sequence[float], ys: Sequence[float], title: str) -> str:
    floor = HEIGHT - BOTTOM
    across, up = Scale(0.0, xs[-1] or 1.0, LEFT, WIDTH - RIGHT), Scale(0.0, (max(ys) or 1.0) * 1.06, floor, TOP)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="hypervolume over {title}" class="course">']
    for tick in up.ticks():
        at = up(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    for tick in across.ticks():
        parts.append(
            f'<text class="tick" x="{across(tick):.1f}" y="{floor + 17}" text-anchor="middle">{tick:,.4g}</text>'
        )
    line = f"M{across(xs[0]):.1f},{up(ys[0]):.1f}"
    line += "".join(f"H{across(x):.1f}V{up(y):.1f}" for x, y in zip(xs[1:], ys[1:], strict=True))
    parts.append(f'<path class="stairs" d="{line}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="axis" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{title}</text></svg>')
    return "".join(parts)


def parallel(front: Front) -> str:
    """A line for each training across its parameters and objectives; it ends where a spec does not have a parameter."""
    paths = [*front.varied][: MOST_AXES - len(front.objectives)]
    names = [*paths, *(o.name for o in front.objectives)]
    if len(names) < 2:
        return ""
    wide, high, top, bottom = 860, 320, 44, 282
    xs = [70 + i * (wide - 140) / (len(names) - 1) for i in range(len(names))]
    heights = {name: _heights([_at(t, name) for t in front.trained], top, bottom) for name in names}
    parts = [f'<svg viewBox="0 0 {wide} {high}" role="img" aria-label="all trainings" class="parallel">']
    on_front = {m.trial: i for i, m in enumerate(front.members)}
    for n, t in sorted(enumerate(front.trained), key=lambda pair: pair[1].trial in on_front):
        place = on_front.get(t.trial)
        kind = "other" if place is None else "knee" if place == front.knee else "front"
        drawn, pen = "", "M"
        for x, name in zip(xs, names, strict=True):
            y = heights[name][0][n]
            drawn, pen = (drawn, "M") if y is None else (f"{drawn}{pen}{x:.1f},{y:.1f}", "L")
        said = f"trial {t.trial}: {wording.label(t.params, front.varied)}; " + ", ".join(
            wording.amount(o.name, t.values[o.name]) for o in front.objectives
        )
        parts.append(f'<g class="{kind}"><title>{escape(said)}</title><path d="{drawn}"/></g>')
    for i, (x, name) in enumerate(zip(xs, names, strict=True)):
        title = wording.axis(name) if i >= len(paths) else wording.short(name)
        raised = 16 if i % 2 == 0 else 32
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(f'<text class="axis" x="{x:.1f}" y="{raised}" text-anchor="middle">{escape(title[:28])}</text>')
        for value, y in heights[name][1]:
            text = wording.amount(name, value) if i >= len(paths) else wording.value(value)
            side = 'text-anchor="end" dx="-6"' if i == len(names) - 1 else 'dx="6"'
            parts.append(f'<text class="tick" x="{x:.1f}" y="{y + 4:.1f}" {side}>{escape(str(text)[:16])}</text>')
    return "".join([*parts, "</svg>"])


def _at(t: Trained, name: str) -> Any:
    return t.values[name] if name in t.values else t.params.get(name)


def _heights(values: Sequence[Any], top: float, bottom: float) -> tuple[list[float | None], list[tuple[Any, float]]]:
    """Pixels of every value, None where there is none; and the ticks. Numbers by size, other choices in order of appearance."""
    known = [v for v in values if v is not None]
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in known):
        scale = Scale(min(known), max(known), bottom, top)
        different = sorted(set(known))
        ticks = [(v, scale(v)) for v in (different if len(different) <= 5 else (different[0], different[-1]))]
        return [None if v is None else scale(v) for v in values], ticks
    choices = {repr(v): v for v in known}
    scale = Scale(0, max(1, len(choices) - 1), bottom, top)
    places = {text: scale(i) for i, text in enumerate(choices)}
    return [None if v is None else places[repr(v)] for v in values], [(v, places[k]) for k, v in choices.items()]
