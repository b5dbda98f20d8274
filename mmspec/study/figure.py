"""The front as an inline SVG for the report page: the same picture as the PNG, with a card for every point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from mmspec.drawing.scale import Scale
from mmspec.study import wording
from mmspec.study.plot import logarithmic
from mmspec.study.result import Front, Trained

WIDTH, HEIGHT = 860, 440
LEFT, RIGHT, TOP, BOTTOM = 58, 18, 18, 50


def draw(front: Front) -> str:
    """An `<svg>` element. Every point carries `data-card`, the number of the trained spec that it shows."""
    across, up = _scales(front)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Pareto front of {escape(front.name)}" class="front">'
    ]
    parts += _axes(front, across, up)
    parts += _bound_lines(front, up)
    parts += _stairs(front, across, up)
    parts += [_dot(t, front, across, up) for t in front.dominated]
    parts += [_member(i, t, front, across, up) for i, t in enumerate(front.members)]
    return "\n".join([*parts, "</svg>"])


def _scales(front: Front) -> tuple[Scale, Scale]:
    xs = [t.values[front.horizontal.name] for t in front.trained]
    ys = [t.values[front.vertical.name] for t in front.trained]
    log = logarithmic(front)
    if log:
        pad = (max(xs) / min(xs)) ** 0.06
        across = Scale(min(xs) / pad, max(xs) * pad, LEFT, WIDTH - RIGHT, True)
    else:
        pad = 0.06 * (max(xs) - min(xs)) or abs(xs[0]) * 0.1 or 1.0
        across = Scale(min(xs) - pad, max(xs) + pad, LEFT, WIDTH - RIGHT)
    bars = [t.accuracy - t.error for t in front.members if t.accuracy is not None and t.error is not None]
    low = min([*ys, *_bounds(front).values(), *(bars if front.vertical.name == "accuracy" else [])])
    pad = 0.08 * (max(ys) - low) or 0.1
    high = max(ys) + pad
    if front.vertical.name == "accuracy":
        high = min(high, 1.0 + 0.25 * pad)
    return across, Scale(low - pad, max(high, max(ys) + 0.3 * pad), HEIGHT - BOTTOM, TOP)


def _bounds(front: Front) -> Mapping[str, float]:
    return front.members[0].bounds if front.vertical.name == "accuracy" else {}


def _axes(front: Front, across: Scale, up: Scale) -> Iterator[str]:
    x, y = front.horizontal.name, front.vertical.name
    floor = HEIGHT - BOTTOM
    for tick in up.ticks():
        at = up(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text class="tick" x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{tick:.4g}</text>'
    for tick in across.ticks():
        at = across(tick)
        text = wording.amount(x, tick).replace(".00 ", " ").replace(".0 ", " ")
        yield f'<line class="grid" y1="{TOP}" y2="{floor}" x1="{at:.1f}" x2="{at:.1f}"/>'
        yield f'<text class="tick" x="{at:.1f}" y="{floor + 18}" text-anchor="middle">{escape(text)}</text>'
    middle, height = (LEFT + WIDTH - RIGHT) / 2, (TOP + floor) / 2
    yield f'<text class="axis" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(wording.axis(x))}</text>'
    turned = f"translate(14 {height}) rotate(-90)"
    yield f'<text class="axis" transform="{turned}" text-anchor="middle">{escape(wording.axis(y))}</text>'


def _bound_lines(front: Front, up: Scale) -> Iterator[str]:
    for name, bound in _bounds(front).items():
        at = up(bound)
        yield f'<line class="bound" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield (
            f'<text class="bound-label" x="{WIDTH - RIGHT}" y="{at - 6:.1f}" text-anchor="end">'
            f"best from {escape(name)} {bound:.3f}</text>"
        )


def _stairs(front: Front, across: Scale, up: Scale) -> Iterator[str]:
    if len(front.objectives) != 2 or not front.members:
        return
    points = [(across(m.values[front.horizontal.name]), up(m.values[front.vertical.name])) for m in front.members]
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}" + "".join(f"H{px:.1f}V{py:.1f}" for px, py in points[1:])
    yield f'<path class="stairs" d="{path}"/>'


def _dot(t: Trained, front: Front, across: Scale, up: Scale) -> str:
    cx, cy = across(t.values[front.horizontal.name]), up(t.values[front.vertical.name])
    return f'<circle class="dominated" data-card="{t.trial}" tabindex="0" cx="{cx:.1f}" cy="{cy:.1f}" r="5"/>'


def _member(i: int, t: Trained, front: Front, across: Scale, up: Scale) -> str:
    cx, cy = across(t.values[front.horizontal.name]), up(t.values[front.vertical.name])
    bar = ""
    if front.vertical.name == "accuracy" and t.accuracy is not None and t.error is not None:
        high, low = up(t.accuracy + t.error), up(t.accuracy - t.error)
        bar = f'<path class="error" d="M{cx - 4:.1f} {high:.1f}h8m-4 0V{low:.1f}m-4 0h8"/>'
    return (
        f'<g class="member{" knee" if i == front.knee else ""}" data-card="{t.trial}" tabindex="0">{bar}'
        f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="10"/>'
        f'<text x="{cx:.1f}" y="{cy + 3.8:.1f}" text-anchor="middle">{i}</text></g>'
    )
