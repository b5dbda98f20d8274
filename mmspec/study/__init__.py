"""Search around a spec: space, budget, front, report.

    search("search/digits_pareto.yaml")   a Front: its members are built folders with trained weights
    load_study(path), Study               the study file
    events                                what a search says while it runs
    KnownCostSampler(known=f)             for any Optuna study whose costs can be computed

Optuna, torch and matplotlib are imported when a search begins, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmspec.study.file import Budget, Study, load_study, read_study
from mmspec.study.result import Front, Objective, Trained
from mmspec.study.search import search

if TYPE_CHECKING:
    from mmspec.study.known_cost import KnownCostSampler

__all__ = [
    "Budget",
    "Front",
    "KnownCostSampler",
    "Objective",
    "Study",
    "Trained",
    "load_study",
    "read_study",
    "search",
]


def __getattr__(name: str) -> Any:
    if name == "KnownCostSampler":
        from mmspec.study.known_cost import KnownCostSampler

        return KnownCostSampler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
