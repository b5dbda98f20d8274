"""A laid out diagram as SVG: real text, a title for each box, colours for light and dark, everything escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from mmspec.drawing.contents import (
    CHIP,
    PADDING,
    SHEET,
    SMALL,
    TITLE,
    Placed,
    Rect,
    figures_of,
    kind_of,
    name_of,
    place,
)
from mmspec.drawing.diagram import Box, Diagram
from mmspec.drawing.layout import BEND, Layout, Route
from mmspec.drawing.measure import width
from mmspec.drawing.style import css

HEADLINE = 20.0
TOP = 92.0  # where the boxes begin


def svg(drawn: Diagram, places: Layout, headline: str, subtitle: str, description: str) -> str:
    needed = 2 * 28 + max(width(headline, HEADLINE, bold=True), width(subtitle, CHIP))
    wide, high = round(max(places.width, needed)), round(places.height)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
        'role="img" aria-labelledby="title description">',
        f'<title id="title">{_text(headline)}</title>',
        f'<desc id="description">{_text(description)}</desc>',
        f"<style>{css()}</style>",
        f'<rect class="paper" width="{wide}" height="{high}"/>',
        _label(28, 42, headline, HEADLINE, "ink strong"),
        _label(28, 64, subtitle, CHIP, "muted"),
    ]
    lines += [part for route in places.routes for part in _edge(route)]
    for key, box in drawn.boxes.items():
        lines += _box(box, places.boxes[key], drawn.flops)
    lines += [part for route in places.routes for part in _edge_label(route)]
    return "\n".join([*lines, "</svg>", ""])


def _edge(route: Route) -> Iterator[str]:
    """Horizontal where a label stands and through layers, bent between them."""
    (x, y), *rest = route.points
    path = f"M{x:.1f} {y:.1f}"
    for i, (next_x, next_y) in enumerate(rest):
        if i % 2:  # through a layer
            path += f"H{next_x:.1f}"
        else:
            last = i == len(rest) - 1
            end = next_x - (9 if last else 0)
            start = max(x, next_x - BEND)
            middle = (start + end) / 2
            path += f"H{start:.1f}C{middle:.1f} {y:.1f} {middle:.1f} {next_y:.1f} {end:.1f} {next_y:.1f}"
        x, y = next_x, next_y
    dashed = " dashed" if route.edge.dashed else ""
    yield f'<path class="edge{dashed}" d="{path}"/>'
    yield f'<path class="arrow" d="M{x:.1f} {y:.1f}l-10 -4.5v9z"/>'


def _edge_label(route: Route) -> Iterator[str]:
    if route.label is not None:
        x, y = route.label
        yield _label(x, y - 6, route.edge.label, SMALL, "muted" if route.edge.dashed else "muted mono")


def _box(box: Box, rect: Rect, flops: int | None) -> Iterator[str]:
    left, right = figures_of(box, flops)
    yield f'<g class="{box.role}">'
    yield f"<title>{_text(_tooltip(box, left, right))}</title>"
    if box.role in ("input", "output"):
        yield _rect(rect, "body", 24)
        yield _label(rect.x + rect.width / 2, rect.y + 21, name_of(box), TITLE - 1, "ink strong", "middle")
        yield _label(rect.x + rect.width / 2, rect.y + 37, kind_of(box), SMALL, "muted mono", "middle")
    else:
        yield _rect(rect, "body", 10)
        yield _label(rect.x + PADDING, rect.y + 25, name_of(box), TITLE, "ink strong")
        yield _label(rect.right - PADDING, rect.y + 25, kind_of(box), SMALL, "muted", "end")
        for part in place(box, rect.width):
            yield from _part(part, rect)
        yield _label(rect.x + PADDING, rect.bottom - 18, left, SMALL, "ink")
        if right:
            yield _label(rect.right - PADDING, rect.bottom - 18, right, SMALL, "ink", "end")
            track = Rect(rect.x + PADDING, rect.bottom - 11, rect.width - 2 * PADDING, 4)
            yield _rect(track, "track", 2)
            if box.flops and flops:
                yield _rect(Rect(track.x, track.y, max(2.0, track.width * box.flops / flops), 4), "accent", 2)
    yield "</g>"


def _part(part: Placed, inside: Rect) -> Iterator[str]:
    rect = part.rect.moved(inside.x, inside.y)
    match part.kind:
        case "chip":
            yield _rect(rect, "chip", 6, 0.7)
            yield _label(rect.x + 10, rect.middle + 4.2, part.label, CHIP, "ink")
            if part.detail:
                yield _label(rect.right - 10, rect.middle + 4, part.detail, SMALL, "muted", "end")
        case "stack":
            for sheet in (2, 1, 0):
                yield _rect(rect.moved(sheet * SHEET, sheet * SHEET), "sheet", 8)
            yield _label(rect.right - 10, rect.middle + 5, part.label, TITLE, "ink strong", "end")
        case "lane":
            yield _label(rect.x + rect.width / 2, rect.y + 12, part.label, SMALL, "muted strong", "middle")
        case "exit":
            yield (
                f'<rect class="exit dashed" fill="none" x="{rect.x:.1f}" y="{rect.y:.1f}" width="{rect.width:.1f}" '
                f'height="{rect.height:.1f}" rx="6"/>'
            )
            yield _label(rect.x + 10, rect.middle + 4.2, part.label, CHIP, "ink")
            yield _label(rect.right - 10, rect.middle + 4, part.detail, SMALL, "muted", "end")


def _tooltip(box: Box, left: str, right: str) -> str:
    first = f"{box.name}: {box.kind}"
    return "\n".join(
        line for line in (first, box.summary.split("  ")[0], ", ".join(filter(None, (left, right)))) if line
    )


def _rect(rect: Rect, css_class: str, radius: float, stroke: float = 1.2) -> str:
    style = f' stroke-width="{stroke}"' if css_class in ("body", "sheet", "chip") else ""
    return (
        f'<rect class="{css_class}"{style} x="{rect.x:.1f}" y="{rect.y:.1f}" width="{rect.width:.1f}" '
        f'height="{rect.height:.1f}" rx="{radius:g}"/>'
    )


def _label(x: float, y: float, text: str, size: float, css_class: str, anchor: str = "start") -> str:
    at = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{css_class}" x="{x:.1f}" y="{y:.1f}" font-size="{size:g}"{at}>{_text(text)}</text>'


def _text(text: str) -> str:
    """Escaped, and without the characters that XML cannot hold."""
    kept = "".join(
        c for c in text if c in "\n\t" or (ord(c) >= 32 and not 0xD800 <= ord(c) < 0xE000 and ord(c) < 0xFFFE)
    )
    return escape(kept)
