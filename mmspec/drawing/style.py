"""Colours and type of the drawings, for light and dark surroundings: plain properties, which every viewer knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """`roles`: the fill of a box and its accent, by role."""

    paper: str
    ink: str
    muted: str
    line: str
    chip: str
    track: str
    roles: dict[str, tuple[str, str]]


LIGHT = Palette(
    paper="#ffffff", ink="#1c2128", muted="#59636e", line="#7d8793", chip="#ffffff", track="#0000001a",
    roles={
        "input": ("#f3f4f6", "#9aa4af"), "output": ("#f3f4f6", "#9aa4af"), "encoder": ("#e8f1fd", "#3b7dd8"),
        "fusion": ("#f3ebfd", "#8250df"), "decoder": ("#e2f5f3", "#128a80"), "head": ("#fdf0e1", "#c2670a"),
    },
)  # fmt: skip
DARK = Palette(
    paper="#12161c", ink="#e9edf2", muted="#9da7b3", line="#7d8793", chip="#ffffff12", track="#ffffff26",
    roles={
        "input": ("#20262e", "#68737f"), "output": ("#20262e", "#68737f"), "encoder": ("#152740", "#5b9cf2"),
        "fusion": ("#28193f", "#a980f5"), "decoder": ("#0f2e2c", "#3fbfb3"), "head": ("#38240f", "#ec9a3c"),
    },
)  # fmt: skip

_FIXED = """
text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif }
.mono { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.edge { fill: none; stroke-width: 1.6 }
.dashed { stroke-dasharray: 5 4 }
.strong { font-weight: 600 }
"""


def css() -> str:
    return f"{_FIXED}{_rules(LIGHT)}@media (prefers-color-scheme: dark) {{\n{_rules(DARK)}}}\n"


def _rules(palette: Palette) -> str:
    rules = [f".{name} {{ fill: {getattr(palette, name)} }}" for name in ("paper", "ink", "muted", "chip", "track")]
    rules += [f".edge {{ stroke: {palette.line} }}", f".arrow {{ fill: {palette.line} }}"]
    for role, (fill, accent) in palette.roles.items():
        rules += [
            f".{role} .body, .{role} .sheet {{ fill: {fill}; stroke: {accent} }}",
            f".{role} .chip, .{role} .exit {{ stroke: {accent} }}",
            f".{role} .accent {{ fill: {accent} }}",
        ]
    return "\n".join(rules) + "\n"
