"""What a row of the bill can say: as text for people, as plain values for a spreadsheet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mmspec.cost.breakdown import FIGURES, Row, named
from mmspec.cost.quantities import duration, quantity, share
from mmspec.cost.work import FAMILIES
from mmspec.ir.primitives import shape_text

Plain = str | int | float | None


@dataclass(frozen=True)
class Field:
    """`value`: of a row, beside the model's FLOPs; `text`: what a table says of it."""

    title: str
    value: Callable[[Row, int], Plain]
    text: Callable[[Row, int], str]
    number: bool = True


def _count(title: str, of: Callable[[Row], float], unit: str = "") -> Field:
    return Field(title, lambda row, whole: of(row), lambda row, whole: quantity(of(row), unit))


def _word(title: str, of: Callable[[Row], str]) -> Field:
    return Field(title, lambda row, whole: of(row), lambda row, whole: of(row), number=False)


def _component(row: Row) -> str:
    """vit; Block ×12; Expert, 4 copies"""
    if row.line is None:
        return ""
    if row.times > 1:
        return f"{row.line.kind} ×{row.times}"
    return f"{row.line.kind}, {row.line.copies} copies" if row.line.copies > 1 else row.line.kind


def _intensity(row: Row) -> str:
    return "" if row.forward.intensity is None else f"{row.forward.intensity:.1f}"


FIELDS: Mapping[str, Field] = {
    "component": Field(
        "component",
        lambda row, whole: "" if row.line is None else row.line.kind,
        lambda row, whole: _component(row),
        False,
    ),
    "output": _word("output", lambda row: "" if row.line is None else shape_text(row.line.shape)),
    "role": _word("role", lambda row: "" if row.line is None else row.line.role),
    "modality": _word("modality", lambda row: "" if row.line is None else row.line.modality),
    "times": Field("times", lambda row, whole: row.times, lambda row, whole: f"{row.times:,}"),
    "parameters": Field("parameters", lambda row, whole: row.parameters, lambda row, whole: f"{row.parameters:,}"),
    "flops": _count("FLOPs", lambda row: row.forward.flops),
    "macs": _count("MACs", lambda row: row.forward.macs),
    **{name: _count(name, FIGURES[name]) for name in (*FAMILIES, "pointwise")},
    "read": _count("read", lambda row: row.forward.read, "B"),
    "written": _count("written", lambda row: row.forward.written, "B"),
    "bytes": _count("bytes", lambda row: row.forward.bytes, "B"),
    "intensity": Field("FLOPs/byte", lambda row, whole: row.forward.intensity, lambda row, whole: _intensity(row)),
    "backward": _count("backward", lambda row: row.backward.flops),
    "time": Field(
        "op by op",
        lambda row, whole: row.seconds,
        lambda row, whole: "n/a" if row.seconds is None else duration(row.seconds),
    ),
    "share": Field(
        "share",
        lambda row, whole: row.forward.flops / whole if whole else 0.0,
        lambda row, whole: share(row.forward.flops, whole),
    ),
}

USUAL = ("component", "output", "parameters", "flops", "share")
OF_GROUPS = ("parameters", "flops", "backward", "pointwise", "bytes", "intensity", "share")


def chosen(names: Sequence[str]) -> dict[str, Field]:
    """Raises   UserError: there is no such column"""
    return {name: named(FIELDS, name, "a column") for name in names}


def sheet(rows: Sequence[Row], whole: int) -> str:
    """Comma-separated values, all columns: numbers in full, `path` and `level` first."""
    import csv
    import io

    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("path", "level", *FIELDS))
    for row in rows:
        plain = [field.value(row, whole) for field in FIELDS.values()]
        path = row.label if row.line is None else row.line.path
        writer.writerow((path, row.level, *("" if value is None else value for value in plain)))
    return file.getvalue()


def markdown(rows: Sequence[Row], total: Row, fields: Mapping[str, Field], heading: str) -> str:
    """A table of GitHub's Markdown, the total in bold below."""
    whole = total.forward.flops
    lines = [
        _line([heading, *(field.title for field in fields.values())]),
        _line(["---", *("---:" if field.number else "---" for field in fields.values())]),
    ]
    for row in rows:
        name = "&nbsp;" * 4 * (row.level - 1) + f"`{row.label}`"
        lines.append(_line([name, *(field.text(row, whole) for field in fields.values())]))
    summed = [field.text(total, whole) if name not in UNSUMMED else "" for name, field in fields.items()]
    lines.append(_line([f"**{text}**" if text else "" for text in ("total", *summed)]))
    return "\n".join(lines) + "\n"


UNSUMMED = ("component", "output", "role", "modality", "times", "share")  # what a total does not have


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
