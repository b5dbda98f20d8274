"""Trainings as tasks of a Ray cluster, for those who have one.

    mmspec search STUDY --executor ray --workers 16 -o /shared/runs/study

The cluster is the one that RAY_ADDRESS names, or that runs on this machine; where there is none, Ray is started here. Its nodes
have mmspec installed and see the study's folder at the same path, so that a task that is moved to another node goes on from the
checkpoint. A task whose process or node dies is given out once more, as our own processes are; Ray's own retries are off, because
they would train a spec again that kills its process. How far a training is, is not heard from a task.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

from mmspec.errors import Failure, UserError
from mmspec.study.jobs import Heard, Job, Outcome
from mmspec.study.processes import DEATHS, PATIENCE_S, trainings

if TYPE_CHECKING:
    from mmspec.study.evaluation import Evaluate
    from mmspec.study.file import Study

INSTALL = "pip install 'mmspec[ray]'"


@dataclass
class OnRay:
    """`slots` tasks at once, each with one CPU, and with its share of the GPUs where the cluster has some."""

    study: Study
    slots: int
    evaluate: Evaluate | None = None
    _jobs: dict[Any, Job] = field(default_factory=dict)
    _deaths: dict[int, int] = field(default_factory=dict)
    _ours: bool = False  # to be left again

    def __post_init__(self) -> None:
        try:
            import ray  # noqa: F401
        except ImportError:
            raise UserError(f"--executor ray needs Ray; install it with: {INSTALL}") from None

    def __enter__(self) -> Self:
        import ray

        if not ray.is_initialized():
            try:
                ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
            except (ConnectionError, RuntimeError, ValueError) as error:
                where = os.environ.get("RAY_ADDRESS", "this machine")
                reason = str(error).partition("\n")[0]
                raise UserError(f"no Ray cluster answers at {where}: {reason}") from error
            self._ours = True
        cluster = ray.cluster_resources()
        gpus = min(1.0, cluster.get("GPU", 0.0) / self.slots)
        self._task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(_train)
        return self

    def submit(self, job: Job) -> None:
        job = replace(job, folder=job.folder.resolve())
        self._jobs[self._task.remote(self.study.text, str(self.study.path.resolve()), self.evaluate, job)] = job

    def wait(self, heard: Heard) -> Outcome | None:
        import ray

        ended, _ = ray.wait(list(self._jobs), num_returns=1)
        job = self._jobs.pop(ended[0])
        try:
            kind, said = ray.get(ended[0])
        except ray.exceptions.RayTaskError as error:
            raise Failure(f"{type(error.cause).__name__}: {error.cause}") from error
        except ray.exceptions.RayError as error:
            return self._died(job, type(error).__name__)
        self._deaths.pop(job.number, None)
        if kind == "user error":
            raise UserError(said)
        return said  # type: ignore[no-any-return]

    def _died(self, job: Job, how: str) -> Outcome | None:
        self._deaths[job.number] = self._deaths.get(job.number, 0) + 1
        if self._deaths[job.number] >= DEATHS:
            return Outcome(job.number, problem=f"its process ended ({how}), as when memory is short")
        self.submit(job)
        return None

    def __exit__(self, *_: object) -> None:
        """Tasks are interrupted, so that they keep a checkpoint of what is under way."""
        import ray

        for ref in self._jobs:
            with suppress(ray.exceptions.RayError):
                ray.cancel(ref, force=False)
        if self._jobs:
            ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=PATIENCE_S)
        self._jobs.clear()
        if self._ours:
            ray.shutdown()


def _train(text: str, origin: str, evaluate: Evaluate | None, job: Job) -> tuple[str, Any]:
    """A task: the outcome, or the user's mistake, as data."""
    try:
        key: Any = evaluate  # a function, or None
        return "done", _trainings(text, origin, key)(job, lambda *_: None)
    except UserError as error:
        return "user error", str(error)


@lru_cache(maxsize=1)  # a process of the cluster does many tasks of one study
def _trainings(text: str, origin: str, evaluate: Evaluate | None) -> Any:
    return trainings(text, origin, evaluate, threads=1)
