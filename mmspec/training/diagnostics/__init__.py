"""A trained model looked into: one question a file, each with its figures and its drawing. Another section is another entry here.

diagnose("runs/gated")      writes diagnosis.json and diagnosis.html beside the model
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmspec import __version__
from mmspec.cost import Measured, profile
from mmspec.errors import UserError
from mmspec.files import write_atomically
from mmspec.training.diagnostics.exits import BEST_EXIT, EXITS
from mmspec.training.diagnostics.gates import GATES
from mmspec.training.diagnostics.page import render
from mmspec.training.diagnostics.reliability import RELIABILITY
from mmspec.training.diagnostics.routes import BEST_ROUTE
from mmspec.training.diagnostics.routing import DROPPED, LOADS, SPECIALISATION
from mmspec.training.diagnostics.subject import Section, Subject
from mmspec.training.loop import EVALUATION_BATCH
from mmspec.training.metrics import evaluate
from mmspec.training.trained import open_trained

SECTIONS = (EXITS, BEST_EXIT, RELIABILITY, LOADS, SPECIALISATION, DROPPED, BEST_ROUTE, GATES)
PAGE, FIGURES = "diagnosis.html", "diagnosis.json"


@dataclass(frozen=True)
class Diagnosis:
    """report: what diagnosis.json holds; a section that does not apply has `figures` None and a reason, `why`."""

    report: dict[str, Any]
    folder: Path


def diagnose(
    folder: str | Path, *, data: str | None = None, split: str = "validation", out: str | Path | None = None
) -> Diagnosis:
    """Answer every section's question about a trained folder; the page and its figures are written into `out`, or the folder.

    Raises   SpecError, UserError: not a trained folder, data of another kind, a split without examples
    """
    trained = open_trained(folder, data)
    if not trained.data.examples(split):
        raise UserError(f"{trained.data.name} has no {split} split")
    subject = Subject(trained, split)
    found = evaluate(trained.module, trained.data, split, EVALUATION_BATCH)
    sections = {}
    for section in SECTIONS:
        measured = section.measure(subject)
        unfit = isinstance(measured, str)
        sections[section.name] = {"figures": None, "why": measured} if unfit else {"figures": measured, "why": None}
    price = profile(trained.spec, measured=Measured.of({"exits": sections["exits"]["figures"] or {}}))
    report = {
        "format": 1,
        "mmspec": __version__,
        "torch": torch.__version__,
        "model": {
            "name": trained.spec.name,
            "data": trained.data.name,
            "split": split,
            "examples": found["examples"],
            "accuracy": found["accuracy"],
            "standard_error": found["standard_error"],
            "parameters": price["parameters.total"],
            "flops": price["flops.total"],
            "mean_flops": price["flops.expected"],
        },
        "sections": sections,
    }
    place = Path(out) if out is not None else trained.folder
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(place / FIGURES, json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write_atomically(place / PAGE, render(report, SECTIONS))
    return Diagnosis(report, place)


__all__ = ["FIGURES", "PAGE", "SECTIONS", "Diagnosis", "Section", "Subject", "diagnose"]
