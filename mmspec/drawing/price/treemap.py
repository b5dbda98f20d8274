"""A model as nested rectangles, each as large as its share of a figure.

Rows are filled so that their rectangles stay as square as they can (Bruls, Huizing, van Wijk 2000: squarified treemaps). What is
too small to be looked into is one rectangle, in the colour of the class that most of it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from mmspec.cost.breakdown import OTHER, family
from mmspec.cost.ledger import Entry
from mmspec.cost.quantities import quantity, share
from mmspec.cost.work import FAMILIES
from mmspec.drawing.measure import cut, width

WIDTH, HEIGHT = 992.0, 440.0
HEAD, GAP = 18.0, 2.0
INSIDE = (64.0, 44.0)  # the least width and height of a rectangle that is looked into
TEXT = 11.5

Figure = Callable[[Entry, int, int], float]  # of a line, how often it runs and how many copies there are


@dataclass(frozen=True)
class Tile:
    """`value`: with all inside, of all runs."""

    label: str
    path: str
    kind: str
    family: str
    value: float
    inside: tuple[Tile, ...] = ()


@dataclass(frozen=True)
class Area:
    x: float
    y: float
    width: float
    height: float


def tile(line: Entry, figure: Figure, runs: int = 1, copies: int = 1) -> Tile:
    """A line of the ledger with what is inside it, the largest first; a scope that holds one thing alone is that thing."""
    runs, copies = runs * line.times, copies * line.copies
    inside = sorted((tile(child, figure, runs, copies) for child in line.children), key=lambda each: -each.value)
    inside = [each for each in inside if each.value > 0]
    value = figure(line, runs, copies)
    parts = line.path.split(".")
    label = ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])  # blocks.3
    label += f" ×{line.times}" if line.times > 1 else f" ×{line.copies}" if line.copies > 1 else ""
    most = dict.fromkeys((*FAMILIES, OTHER), 0.0)
    for each in inside:
        most[each.family] += each.value
    of = max(most, key=lambda name: most[name]) if inside else family(line)
    if len(inside) == 1 and inside[0].inside and line.path:
        only = inside[0]
        return Tile(f"{label}.{only.label}", line.path, line.kind, only.family, value, only.inside)
    return Tile(label, line.path, line.kind, of, value, tuple(inside))


def draw(root: Tile, unit: str, name: str) -> str:
    """An `<svg>` of the whole; every rectangle says in `data-tip` what it is."""
    parts = [f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(name)} by part" class="tiles">']
    if root.value <= 0:
        parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle" class="note">nothing</text>')
    else:
        parts += _filled(root.inside, Area(0, 0, WIDTH, HEIGHT), root.value, unit, 0)
    return "\n".join([*parts, "</svg>"])


def squarified(values: Sequence[float], area: Area) -> list[Area]:
    """An area for each value, which fall; they fill the given one, in proportion."""
    total = sum(values)
    rest, places, start = area, [], 0
    scale = area.width * area.height / total if total else 0.0
    while start < len(values):
        side = min(rest.width, rest.height)
        end = start + 1
        while end < len(values) and _worst(values[start : end + 1], side, scale) <= _worst(
            values[start:end], side, scale
        ):
            end += 1
        row = [value * scale for value in values[start:end]]
        thick = sum(row) / side if side else 0.0
        along = 0.0
        for size in row:
            length = size / thick if thick else 0.0
            if rest.width >= rest.height:
                places.append(Area(rest.x, rest.y + along, thick, length))
            else:
                places.append(Area(rest.x + along, rest.y, length, thick))
            along += length
        if rest.width >= rest.height:
            rest = Area(rest.x + thick, rest.y, max(0.0, rest.width - thick), rest.height)
        else:
            rest = Area(rest.x, rest.y + thick, rest.width, max(0.0, rest.height - thick))
        start = end
    return places


def _worst(values: Sequence[float], side: float, scale: float) -> float:
    """The most stretched rectangle of a row."""
    total = sum(values) * scale
    most, least = max(values) * scale, min(values) * scale
    return max(side**2 * most / total**2, total**2 / (side**2 * least)) if total and least and side else float("inf")


def _filled(tiles: Sequence[Tile], area: Area, whole: float, unit: str, level: int) -> Iterator[str]:
    for each, place in zip(tiles, squarified([t.value for t in tiles], area), strict=True):
        if place.width < 1 or place.height < 1:
            continue
        if each.inside and place.width >= INSIDE[0] and place.height >= INSIDE[1]:
            yield _rectangle(each, place, whole, unit, f"scope level{min(level, 2)}")
            head = cut(f"{each.label}  {share(each.value, whole)}", place.width - 10, TEXT, bold=True)
            yield f'<text class="head" x="{place.x + 6:.1f}" y="{place.y + 13.5:.1f}">{escape(head)}</text>'
            inner = Area(place.x + 3, place.y + HEAD, place.width - 6, place.height - HEAD - 3)
            yield from _filled(each.inside, inner, whole, unit, level + 1)
        else:
            yield _rectangle(each, place, whole, unit, f"leaf {each.family}")
            yield from _words(each, place, whole)


def _rectangle(each: Tile, place: Area, whole: float, unit: str, kind: str) -> str:
    said = f"{each.path}\n{each.kind}\n{quantity(each.value, unit)}, {share(each.value, whole)}"
    wide, high = max(0.5, place.width - GAP), max(0.5, place.height - GAP)
    return (
        f'<rect class="{kind}" x="{place.x + GAP / 2:.1f}" y="{place.y + GAP / 2:.1f}" width="{wide:.1f}" '
        f'height="{high:.1f}" rx="3" data-tip="{escape(said)}"/>'
    )


def _words(each: Tile, place: Area, whole: float) -> Iterator[str]:
    """The label where it fits, its share below it where that fits, too."""
    if place.height < 17 or place.width < 26:
        return
    text = cut(each.label, place.width - 10, TEXT)
    if len(text) < min(3, len(each.label)):
        return
    yield f'<text class="on" x="{place.x + 6:.1f}" y="{place.y + 14.5:.1f}">{escape(text)}</text>'
    part = share(each.value, whole)
    if place.height >= 34 and width(part, TEXT) <= place.width - 10:
        yield f'<text class="on part" x="{place.x + 6:.1f}" y="{place.y + 28.5:.1f}">{part}</text>'
