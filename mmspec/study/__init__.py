"""Search around a spec: space, budget, front, report.

    search("search/digits_pareto.yaml")   a Front: its members are built folders with trained weights
    load_study(path), Study               the study file
    events                                what a search says while it runs

Optuna, torch and matplotlib are imported when a search begins, not before.
"""

from __future__ import annotations

from mmspec.study.file import Budget, Study, load_study, read_study
from mmspec.study.result import Front, Objective, Trained
from mmspec.study.search import search

__all__ = ["Budget", "Front", "Objective", "Study", "Trained", "load_study", "read_study", "search"]
