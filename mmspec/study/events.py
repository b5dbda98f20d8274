"""What a search says while it runs. The library prints nothing; whoever calls it shows these as it likes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Proposed:
    """A spec that will be trained now."""

    trial: int
    params: Mapping[str, Any]
    figures: Mapping[str, float]  # its price: objectives and limits


@dataclass(frozen=True)
class Progress:
    """A sign of life from inside a training: `step` of `steps`, and whatever the training reports."""

    trial: int
    step: int
    steps: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """A trained and measured spec."""

    trial: int
    params: Mapping[str, Any]
    values: Mapping[str, float]  # objectives by name, as the user reads them
    seconds: float
    on_front: bool
    remaining_s: float | None  # estimate for the rest of the study


@dataclass(frozen=True)
class Started:
    """Said once, before the first proposal."""

    name: str
    folder: Path
    trials: int  # to be trained in all
    finished: tuple[Finished, ...]  # of them, known from before (a resumed study), in the order they were trained
    parameters: int  # open domains
    size: int | None  # specs in the space; None when it is not finite


@dataclass(frozen=True)
class Rung:
    """A training has come to a rung; it goes on, or is stopped there and never counts as trained."""

    trial: int
    params: Mapping[str, Any]
    step: int
    values: Mapping[str, float]  # objectives as they are so far
    seconds: float  # since the rung before
    goes_on: bool


@dataclass(frozen=True)
class Refused:
    """A proposal that is not trained: it does not compile, or breaks a limit before training."""

    params: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Failed:
    """A training that could not be finished (diverged, out of memory): remembered as infeasible, the search goes on."""

    trial: int
    params: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Known:
    """A proposal whose spec was trained before: answered from the store."""

    params: Mapping[str, Any]
    same_as: int


@dataclass(frozen=True)
class Confirming:
    """The search is done; so many trainings with fresh seeds begin, of so many specs."""

    trainings: int
    specs: int


@dataclass(frozen=True)
class Reproduced:
    """One of them has ended. `values` are its objectives; empty where it failed, for a `reason`."""

    trial: int
    values: Mapping[str, float]
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class Written:
    """The front, the plot, the report and the tables are on disk."""

    folder: Path
    files: tuple[Path, ...]


Event = Started | Proposed | Progress | Rung | Finished | Refused | Failed | Known | Confirming | Reproduced | Written
Listener = Callable[[Event], None]


def silent(_: Event) -> None:
    """The listener of those who do not listen."""
