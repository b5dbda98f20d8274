"""One training of a search as a thing to hand over: to this process, to another, to another host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from mmspec.study.evaluation import Evaluate, Tick, Untrainable, measured
from mmspec.study.inheritance import Parent

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec


@dataclass(frozen=True)
class Job:
    """What to train. `number` counts the trainings of a study and gives each its folder and its seed; the digest is that of the
    spec that the params make of the base. `until`: the step at which it stops to be compared; None goes to the end. `parent`: whose
    weights it begins with."""

    number: int
    params: Mapping[str, Any]
    digest: str
    folder: Path
    seed: int
    until: int | None = None
    parent: Parent | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain data: everything but the folder, which each host finds at its own place."""
        said = {key: value for key, value in vars(self).items() if key != "folder"}
        return {**said, "params": dict(self.params), "parent": self.parent and asdict(self.parent)}

    @staticmethod
    def read(data: Mapping[str, Any], folder: Path) -> Job:
        """From such data, and the folder."""
        return Job(**{**data, "folder": folder, "parent": Parent.read(data.get("parent"))})


@dataclass(frozen=True)
class Outcome:
    """What became of a job: metrics and seconds, or a problem of the spec's own."""

    number: int
    metrics: Mapping[str, Any] | None = None
    seconds: float = 0.0
    problem: str = ""
    step: int | None = None  # where it stopped on the way; None at the end


Heard = Callable[
    [int, int, int, Mapping[str, float]], None
]  # number of the training, step, steps, what is known so far


class Executor(Protocol):
    """Who trains. At most `slots` jobs are under way at once; `wait` gives the next one that has ended, or None to be asked for
    more first: slots may have come.

    Raises   UserError: what would stop every job as well (the data, the user's own code).
    """

    @property
    def slots(self) -> int: ...
    def submit(self, job: Job) -> None: ...
    def wait(self, heard: Heard) -> Outcome | None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class InProcess:
    """Trains one job after the other, here, when it is waited for."""

    slots = 1

    def __init__(self, evaluate: Evaluate, choose: Callable[[Mapping[str, Any]], ModelSpec]) -> None:
        self.evaluate, self.choose = evaluate, choose
        self._jobs: list[Job] = []

    def submit(self, job: Job) -> None:
        self._jobs.append(job)

    def wait(self, heard: Heard) -> Outcome:
        job = self._jobs.pop(0)

        def tick(step: int, steps: int, metrics: Mapping[str, float]) -> None:
            heard(job.number, step, steps, metrics)

        return run(job, self.choose(job.params), self.evaluate, tick)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._jobs.clear()


def run(job: Job, spec: ModelSpec, evaluate: Evaluate, tick: Tick) -> Outcome:
    try:
        begin = job.parent.of(job.folder) if job.parent else None
        metrics, seconds = measured(evaluate, spec, job.digest, job.folder, job.seed, tick, job.until, begin)
    except Untrainable as error:
        return Outcome(job.number, problem=str(error), step=job.until)
    return Outcome(job.number, metrics, seconds, step=job.until)
