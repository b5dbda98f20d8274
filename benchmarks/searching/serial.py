"""A study's trainings, one after the other in this process, without the report that a search ends with."""

from __future__ import annotations

import time
from pathlib import Path

from mmspec.study import Front, Study
from mmspec.study.base import open_base
from mmspec.study.candidate import price
from mmspec.study.coordinator import Coordinator, front_of
from mmspec.study.evaluation import evaluation_of
from mmspec.study.events import silent
from mmspec.study.jobs import InProcess
from mmspec.study.plan import plan
from mmspec.study.store import Store


def searched(study: Study, folder: Path) -> tuple[Front, float]:
    """The front, and the seconds that all trainings took together. `folder` is made."""
    found = plan(study, *open_base(study), price)
    folder.mkdir()
    Store.create(folder, study.objectives, found.question)
    executor = InProcess(evaluation_of(study), lambda params: found.base.choose(dict(params)))
    began = time.perf_counter()
    with Store.open(folder, study.objectives) as store:
        Coordinator(found, store, executor, silent).run()
        return front_of(found, store), time.perf_counter() - began
