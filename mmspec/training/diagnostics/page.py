"""The diagnosis as one HTML page that opens offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from mmspec.training.diagnostics.subject import Section


def render(report: Mapping[str, Any], sections: Sequence[Section]) -> str:
    """The page as text. All names are escaped; a section that does not apply says why, after those that do."""
    css = files("mmspec.training.diagnostics").joinpath("page.css").read_text("utf-8")
    model = report["model"]
    title = f"{escape(model['name'])}, looked into"
    fitting = [section for section in sections if report["sections"][section.name]["figures"] is not None]
    others = [section for section in sections if section not in fitting]
    parts = [
        f"<h1>{title}</h1>",
        f"<p class=lead>{model['examples']:,} independent examples of {escape(model['data'])}, split {model['split']}, "
        "none of them trained on.</p>",
        _cards(model),
        *(_section(section, report["sections"][section.name]["figures"]) for section in fitting),
    ]
    if others:
        parts.append("<h2>What does not apply</h2>")
        parts += [
            f"<p class=unfit><b>{escape(s.title)}</b> {escape(report['sections'][s.name]['why'])}.</p>" for s in others
        ]
    parts.append(
        f"<footer>mmspec {escape(report['mmspec'])}, torch {escape(report['torch'])}. "
        "The same figures are in diagnosis.json.</footer>"
    )
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{css}</style></head><body><main>",
            *parts,
            "</main></body></html>",
            "",
        )
    )


def _cards(model: Mapping[str, Any]) -> str:
    from mmspec.cost.quantities import quantity, share

    cards = [
        (f"{model['accuracy']:.3f}", f"accuracy, \u00b1 {model['standard_error']:.3f}"),
        (quantity(model["parameters"]), "parameters"),
    ]
    cards.append((quantity(model["flops"]), "FLOPs of the full model"))
    if model["mean_flops"] is not None and model["mean_flops"] != model["flops"]:
        cards.append((quantity(model["mean_flops"]), f"FLOPs on average, {share(model['mean_flops'], model['flops'])}"))
    return (
        "<div class=cards>" + "".join(f"<div class=card><b>{a}</b><span>{b}</span></div>" for a, b in cards) + "</div>"
    )


def _section(section: Section, figures: Any) -> str:
    return f"<h2>{escape(section.title)}</h2><p class=note>{escape(section.about)}</p>{section.draw(figures)}"
