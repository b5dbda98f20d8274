"""What belongs to whom: a bar for each figure, cut into the shares of modalities or of classes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mmspec.cost.breakdown import FIGURES, Row
from mmspec.cost.quantities import quantity, share

SHOWN = {
    "parameters": "parameters",
    "flops": "FLOPs",
    "backward": "backward FLOPs",
    "pointwise": "pointwise",
    "bytes": "bytes moved",
}
LEAST = 0.07  # of a bar, to be labelled in it


def draw(rows: Sequence[Row], colours: Sequence[str]) -> str:
    """Bars and their legend as HTML; `colours` are classes of the style sheet, one for each row."""
    bars = []
    for name, title in SHOWN.items():
        values = [FIGURES[name](row) for row in rows]
        whole = sum(values)
        if not whole:
            continue
        unit = "B" if name == "bytes" else ""
        cells = []
        for row, value, colour in zip(rows, values, colours, strict=True):
            part = value / whole
            if part:
                said = f"{row.label}\n{quantity(value, unit)}, {share(value, whole)}"
                text = share(value, whole) if part >= LEAST else ""
                cells.append(
                    f'<i class="{colour}" style="width:{100 * part:.2f}%" data-tip="{escape(said)}">{text}</i>'
                )
        bars.append(
            f'<div class="bar"><span>{title}</span><div>{"".join(cells)}</div><b>{quantity(whole, unit)}</b></div>'
        )
    legend = "".join(
        f'<span><i class="{colour}"></i>{escape(row.label)}</span>' for row, colour in zip(rows, colours, strict=True)
    )
    return f'<div class="bars">{"".join(bars)}</div><div class="legend">{legend}</div>'
