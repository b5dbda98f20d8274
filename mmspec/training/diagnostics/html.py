"""Pieces of the page: tables, bars, reliability diagrams and maps of shares, as inline SVG and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import sqrt

from mmspec.cost.quantities import share


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] | None = None) -> str:
    """Cells are HTML already. `numbers`: the columns that stand to the right; all but the first by default."""
    right = set(range(1, len(heads)) if numbers is None else numbers)

    def line(tag: str, cells: Iterable[str]) -> str:
        return "".join(f"<{tag}{' class=n' if i in right else ''}>{cell}</{tag}>" for i, cell in enumerate(cells))

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f"<div class=scroll><table><tr>{line('th', map(escape, heads))}</tr>{body}</table></div>"


def bars(labels: Sequence[str], values: Sequence[float], caption: str, small: bool = False) -> str:
    """A bar for each value, the largest as high as the picture; the value stands above it."""
    width, height, floor, top = (260, 130, 106, 14) if small else (430, 200, 164, 20)
    step = (width - 16) / max(1, len(values))
    thick, most = min(46.0, step * (0.86 if small else 0.7)), max([*values, 1e-9])
    parts = [
        f'<svg class=plot viewBox="0 0 {width} {height}" role="img" aria-label="{escape(caption or "histogram")}">'
    ]
    parts.append(f'<line class=axis-line x1="8" x2="{width - 8}" y1="{floor}" y2="{floor}"/>')
    for number, (label, value) in enumerate(zip(labels, values, strict=True)):
        middle, high = 8 + step * (number + 0.5), (floor - top) * value / most
        parts.append(
            f'<rect class=bar x="{middle - thick / 2:.1f}" y="{floor - high:.1f}" width="{thick:.1f}" height="{high:.1f}" rx="2">'
            f"<title>{escape(label)}: {share(value, 1)}</title></rect>"
        )
        if not small:
            parts.append(
                f'<text x="{middle:.1f}" y="{floor - high - 5:.1f}" text-anchor="middle">{share(value, 1)}</text>'
            )
        place = middle - (step / 2 if small else 0)
        parts.append(f'<text x="{place:.1f}" y="{floor + 15}" text-anchor="middle">{escape(label)}</text>')
    if small:
        parts.append(f'<text x="{width - 8}" y="{floor + 15}" text-anchor="middle">1</text>')
    if caption:
        parts.append(
            f'<text class=caption x="{width / 2}" y="{height - 4}" text-anchor="middle">{escape(caption)}</text>'
        )
    return "".join([*parts, "</svg>"])


def reliability(bins: Sequence[Mapping[str, float]]) -> str:
    """Accuracy over confidence; a dot's area is the share of samples in its bin."""
    side, low, size = 172, 30, 132

    def at(confidence: float, accuracy: float) -> tuple[float, float]:
        return low + size * confidence, side - low - size * accuracy

    parts = [f'<svg class=plot viewBox="0 0 {side} {side}" role="img" aria-label="accuracy by confidence">']
    for tick in (0.0, 0.5, 1.0):
        (x, floor), (left, y) = at(tick, 0), at(0, tick)
        parts.append(f'<line class=grid x1="{x}" x2="{x}" y1="{floor}" y2="{at(0, 1)[1]}"/>')
        parts.append(f'<line class=grid x1="{left}" x2="{at(1, 0)[0]}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{x}" y="{floor + 14}" text-anchor="middle">{tick:g}</text>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{tick:g}</text>')
    (x0, y0), (x1, y1) = at(0, 0), at(1, 1)
    parts.append(f'<line class=diagonal x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}"/>')
    places = [at(b["confidence"], b["accuracy"]) for b in bins]
    parts.append('<polyline class=line points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in places) + '"/>')
    for b, (x, y) in zip(bins, places, strict=True):
        said = f"confidence {b['confidence']:.3f}, accuracy {b['accuracy']:.3f}, {share(b['share'], 1)} of samples"
        parts.append(
            f'<circle class=dot cx="{x:.1f}" cy="{y:.1f}" r="{2 + 9 * sqrt(b["share"]):.1f}"><title>{said}</title></circle>'
        )
    parts.append(f'<text class=caption x="{low + size / 2}" y="{side - 2}" text-anchor="middle">confidence</text>')
    return "".join([*parts, "</svg>"])


def heat(heads: Sequence[str], rows: Sequence[tuple[str, Sequence[float], str]], last: str) -> str:
    """Rows of shares, each shaded by its size beside the largest of all; `last`: a column of its own at the end."""
    most = max((value for _, values, _ in rows for value in values), default=1.0) or 1.0
    title = "".join(f"<th class=n>{escape(head)}</th>" for head in heads) + (
        f"<th class=n>{escape(last)}</th>" if last else ""
    )
    lines = []
    for name, values, end in rows:
        cells = "".join(
            f'<td class="n shade" style="--s:{100 * value / most:.0f}%"{" data-strong" if value > 0.6 * most else ""}>'
            f"{share(value, 1)}</td>"
            for value in values
        )
        cells += "<td></td>" * (len(heads) - len(values)) + (f"<td class=n>{end}</td>" if last else "")
        lines.append(f"<tr><td><code>{escape(name)}</code></td>{cells}</tr>")
    return f"<div class=scroll><table class=heat><tr><th></th>{title}</tr>{''.join(lines)}</table></div>"
