"""What a study remembers: an Optuna study in one SQLite file, opened by one process at a time.

A trial of ours is a *turn*: one proposal and what became of it. A turn whose training is under way stays open, with its job
written down before it begins: after a crash or Ctrl-C the same job goes on. A turn that was cut short before that is closed as
failed and not counted, so that turn n after a resume has the history, the seed and therefore the proposal that it would have
had. What became of a turn:

    trained    COMPLETE, with metrics, price and folder
    stopped    PRUNED at a rung, without values and with every constraint kept: TPE takes it for worse than what is COMPLETE,
               NSGA-II overlooks it; what it had reached is in `record`
    known      COMPLETE, with the values of the trained twin
    refused    PRUNED with a constraint above 0, which teaches the sampler; FAIL, which samplers overlook, once refusals are
    failed     more than twice what was trained: they would drown the rest
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmspec.errors import Failure, UserError
from mmspec.study.candidate import Candidate
from mmspec.study.inheritance import Parent
from mmspec.study.jobs import Job
from mmspec.study.result import Objective, Trained
from mmspec.study.rungs import Ladder, Reached
from mmspec.study.storage import DATABASE, alone, disk, let_go, open_file

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study as OptunaStudy
    from optuna.trial import FrozenTrial, Trial

    from mmspec.study.database import Database

JOB = "job"  # what an open turn trains
RUNGS = "rungs"  # where it has gone on
_NAME = "search"


def trial_folder(folder: Path, number: int, digest: str) -> Path:
    """Where a spec is trained. With the digest in it, so that what another spec left behind is never gone on with."""
    return folder / "trials" / f"{number:03d}-{digest[:8]}"


@dataclass(frozen=True)
class Pending:
    """An open turn and its job, and the rungs where it has gone on."""

    trial: Trial
    job: Job
    reached: tuple[Reached, ...] = ()

    @property
    def number(self) -> int:
        return self.job.number


class Store:
    """An open study. `turn` counts what was proposed, `trained` what was measured, `pending` has what is under way by number."""

    def __init__(
        self, folder: Path, study: OptunaStudy, objectives: Sequence[Objective], ladder: Ladder | None = None
    ) -> None:
        self.folder, self.study, self.objectives, self.ladder = folder, study, tuple(objectives), ladder
        self.turn = 0
        self.trained: list[Trained] = []
        self.pending: dict[int, Pending] = {}
        self.stopped: dict[str, tuple[int, float]] = {}  # at a rung, by digest: the step, and the seconds up to it
        self.started = 0  # trainings, whatever became of them
        self.refused: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.repeated = 0
        self.idle = 0  # turns since something was trained
        self._told_infeasible = 0
        self._infeasible: dict[str, str] = {}  # digest -> why it is not trained again
        self.digests: set[str] = set()  # of everything that was trained or is under way
        for trial in study.get_trials(deepcopy=False):
            self._remember(trial)
            self._adopt(trial)

    @staticmethod
    def create(
        folder: Path, objectives: Sequence[Objective], question: Mapping[str, Any], database: Database | None = None
    ) -> None:
        """Write the database of a new study into a folder that nobody else sees yet, or its record into one that hosts share."""
        import optuna

        study = optuna.create_study(
            storage=open_file(folder) if database is None else database.optuna(),
            study_name=_NAME if database is None else database.study,
            directions=["maximize" if o.maximize else "minimize" for o in objectives],
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([o.name for o in objectives])  # for optuna-dashboard
        if database is not None:
            from mmspec.study.database import IDENTIFIED
            from mmspec.study.shared import identity_of

            study.set_user_attr(IDENTIFIED, identity_of(folder))
        study.set_user_attr("question", json.dumps(question, sort_keys=True))
        let_go(study)

    @staticmethod
    @contextmanager
    def open(
        folder: Path, objectives: Sequence[Objective], ladder: Ladder | None = None, database: Database | None = None
    ) -> Iterator[Store]:
        """The study of a folder, for one process at a time; turns that a crash left open are closed. `database`: where it is kept
        instead of the folder, by the process that holds its lock there.

        Raises   UserError: another process searches here, or the database cannot be read
        """
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        with alone(folder) if database is None else nullcontext():
            if database is None and not (folder / DATABASE).is_file():
                raise UserError(f"{folder} has no {DATABASE}; it is not the folder of a study, or not a whole one")
            try:
                study = (
                    optuna.load_study(storage=open_file(folder), study_name=_NAME)
                    if database is None
                    else optuna.load_study(storage=database.optuna(), study_name=database.study)
                )
                for trial in study.get_trials(deepcopy=False):
                    if not trial.state.is_finished() and JOB not in trial.user_attrs:
                        _cut_short(study, trial)
                store = Store(folder, study, objectives, ladder)
            except (SQLAlchemyError, KeyError) as error:
                if database is not None:
                    raise Failure(f"the study in {database} cannot be read: {database.reason(error)}") from error
                reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
                raise UserError(
                    f"{folder / DATABASE} cannot be read ({reason}); the trained networks in {folder / 'trials'} are untouched. "
                    "Start anew with --restart"
                ) from error
            try:
                yield store
            finally:
                let_go(study)

    @property
    def question(self) -> dict[str, Any]:
        """What the study was begun for: the study file and the base, as data."""
        return dict(json.loads(self.study.user_attrs["question"]))

    def ask(self, sampler: BaseSampler, point: Mapping[str, Any] | None = None) -> Trial:
        """Open a turn; `point` is proposed instead of asking the sampler."""
        self.study.sampler = sampler
        with disk(self.folder):
            if point is not None:
                self.study.enqueue_trial(dict(point))
            return self.study.ask()

    def twin(self, digest: str) -> Trained | None:
        """The trained spec with a digest."""
        return next((t for t in self.trained if t.digest == digest), None)

    def barred(self, digest: str) -> str:
        """Why a spec was not trainable before; empty when nothing is known against it."""
        return self._infeasible.get(digest, "")

    def under_way(self, digest: str) -> Pending | None:
        """The training of a spec with a digest that has not ended."""
        return next((p for p in self.pending.values() if p.job.digest == digest), None)

    def begin(
        self, trial: Trial, candidate: Candidate, seed: int, number: int, parent: Parent | None = None
    ) -> Pending:
        """Write down what this turn trains, and whose weights that begins with, before it is trained."""
        folder = trial_folder(self.folder, number, candidate.digest)
        job = Job(number, dict(candidate.params), candidate.digest, folder, seed, parent=parent)
        with disk(self.folder):
            trial.set_user_attr(JOB, json.dumps(job.to_dict()))
        return self._begun(Pending(trial, job))

    def _begun(self, pending: Pending) -> Pending:
        self.pending[pending.number] = pending
        self.digests.add(pending.job.digest)
        self.started = max(self.started, pending.number + 1)
        self.turn += 1
        self.idle = 0
        return pending

    def drop(self, pending: Pending) -> None:
        """A turn whose training was never begun, closed as if it had not been."""
        del self.pending[pending.number]
        self.digests.discard(pending.job.digest)
        self.turn -= 1
        with disk(self.folder):
            pending.trial.set_user_attr("dropped", "the budget's seconds were spent before it began")
            _cut_short(self.study, pending.trial)

    def tell_trained(
        self,
        pending: Pending,
        candidate: Candidate,
        metrics: Mapping[str, Any],
        values: Mapping[str, float],
        seconds: float,
    ) -> Trained:
        record = {
            "kind": "trained", "trial": pending.number, "params": dict(candidate.params), "digest": candidate.digest,
            "values": dict(values), "figures": dict(candidate.figures), "metrics": dict(metrics), "seconds": seconds,
        }  # fmt: skip
        self._tell(pending.trial, candidate.constraints, record, list(values.values()))
        return self.trained[-1]

    def tell_failed(self, pending: Pending, candidate: Candidate, reason: str) -> None:
        """A training that could not be finished, by the spec's own fault."""
        self.tell_infeasible(pending.trial, candidate, "failed", reason)

    def go_on(self, pending: Pending, reached: Reached) -> Pending:
        """A training has come to a rung, and is to go on: written down, so that it does after a crash."""
        pending = replace(pending, reached=(*pending.reached, reached))
        with disk(self.folder):
            pending.trial.set_user_attr(RUNGS, _written(pending.reached))
        self.pending[pending.number] = pending
        return pending

    def tell_stopped(self, pending: Pending, candidate: Candidate, reached: Reached) -> None:
        """A training that is not worth its end, which never counts as trained."""
        record = {
            "kind": "stopped", "trial": pending.number, "params": dict(candidate.params), "digest": candidate.digest,
            "step": reached.step, "values": dict(reached.values), "figures": dict(candidate.figures),
            "seconds": reached.seconds, "seconds_before": sum(each.seconds for each in pending.reached),
        }  # fmt: skip
        self._tell(pending.trial, candidate.constraints, record, None, teach=True)

    def overlook(self, trial: Trial, candidate: Candidate) -> None:
        """A proposal of what is under way: nothing is known of it yet, and nothing is said."""
        from optuna.trial import TrialState

        record = {"kind": "again", "params": dict(candidate.params), "reason": "under way", "digest": candidate.digest}
        with disk(self.folder):
            trial.set_user_attr("record", json.dumps(record))
            self._remember(self.study.tell(trial, state=TrialState.FAIL))

    def tell_known(self, trial: Trial, candidate: Candidate, twin: Trained) -> None:
        record = {"kind": "known", "params": dict(candidate.params), "same_as": twin.trial}
        self._tell(trial, candidate.constraints, record, [twin.values[o.name] for o in self.objectives])

    def tell_infeasible(self, trial: Trial, candidate: Candidate, kind: str, reason: str) -> None:
        """`kind` is "refused" (before training), "failed" (in training), or "again" (known to have failed)."""
        record = {"kind": kind, "params": dict(candidate.params), "reason": reason, "digest": candidate.digest}
        self._tell(trial, candidate.constraints, record, None)

    def cut_short(self, trial: Trial) -> None:
        """Close a turn that was interrupted, so that it does not count."""
        with disk(self.folder):
            _cut_short(self.study, trial)

    def _tell(
        self,
        trial: Trial,
        constraints: Mapping[str, float],
        record: Mapping[str, Any],
        values: list[float] | None,
        teach: bool = False,
    ) -> None:
        from optuna.trial import TrialState

        with disk(self.folder):
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", UserWarning
                )  # said already, by a run that could not write the end of this turn
                for key, violation in constraints.items():
                    trial.set_constraint(key, violation)
            trial.set_user_attr("record", json.dumps(record))
            if values is not None:
                frozen = self.study.tell(trial, values)
            else:
                teach = teach or self._told_infeasible < max(4, 2 * len(self.trained))
                frozen = self.study.tell(trial, state=TrialState.PRUNED if teach else TrialState.FAIL)
        self._remember(frozen)

    def _remember(self, trial: FrozenTrial) -> None:
        if not trial.state.is_finished() or "record" not in trial.user_attrs:
            return  # under way, or cut short
        record = json.loads(trial.user_attrs["record"])
        if JOB in trial.user_attrs:  # counted when it began
            job = json.loads(trial.user_attrs[JOB])
            if self.pending.pop(job["number"], None) is None:
                self.turn += 1
            self.started = max(self.started, job["number"] + 1)
            self.idle = 0
        else:
            self.turn += 1
            self.idle += 1
        if self.ladder is not None and JOB in trial.user_attrs:
            self.ladder.note(json.loads(trial.user_attrs[JOB])["number"], _read(trial))
        if record["kind"] == "stopped":
            last = Reached(record["step"], record["values"], record["seconds"])
            self.digests.add(record["digest"])
            self.stopped[record["digest"]] = (last.step, last.seconds + record["seconds_before"])
            if self.ladder is not None:
                self.ladder.note(record["trial"], (last,))
                self.ladder.stopped[record["trial"]] = last.step
            return
        if record["kind"] == "trained":
            if self.ladder is not None:
                self.ladder.finished[record["trial"]] = record["values"]
            self.digests.add(record["digest"])
            self.trained.append(
                Trained(
                    record["trial"], record["params"], record["digest"], record["values"], record["figures"], record["metrics"],
                    record["seconds"], trial_folder(self.folder, record["trial"], record["digest"]),
                    parent=Parent.read(json.loads(trial.user_attrs[JOB]).get("parent")),
                )
            )  # fmt: skip
            return
        self._told_infeasible += trial.state.name == "PRUNED"
        if record["kind"] in ("known", "again"):
            self.repeated += 1
        else:
            if record["digest"] and record["kind"] == "failed":
                self._infeasible[record["digest"]] = record["reason"]
            (self.refused if record["kind"] == "refused" else self.failed)[record["reason"]] += 1

    def _adopt(self, trial: FrozenTrial) -> None:
        """A job that was under way when a search was stopped goes on."""
        import optuna

        if trial.state.is_finished() or JOB not in trial.user_attrs:
            return
        said = json.loads(trial.user_attrs[JOB])
        job = Job.read(said, trial_folder(self.folder, said["number"], said["digest"]))
        open_turn = optuna.trial.Trial(self.study, trial._trial_id)
        at = _read(trial)
        if self.ladder is not None:
            self.ladder.note(job.number, at)
        self._begun(Pending(open_turn, job, at))


def _written(reached: Sequence[Reached]) -> str:
    return json.dumps([{"step": r.step, "values": dict(r.values), "seconds": r.seconds} for r in reached])


def rungs_of(trial: FrozenTrial) -> tuple[Reached, ...]:
    """All rungs that a training came to; the last one of a stopped training is where it ended."""
    record = json.loads(trial.user_attrs.get("record", "{}"))
    last = (Reached(record["step"], record["values"], record["seconds"]),) if record.get("kind") == "stopped" else ()
    return (*_read(trial), *last)


def _read(trial: FrozenTrial) -> tuple[Reached, ...]:
    return tuple(Reached(**each) for each in json.loads(trial.user_attrs.get(RUNGS, "[]")))


def _cut_short(study: OptunaStudy, trial: Any) -> None:
    from optuna.trial import TrialState

    number = trial.number
    if getattr(trial, "state", None) == TrialState.WAITING:  # a point that was to be proposed next: it will be again
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        return
    with suppress(ValueError):
        study.tell(number, state=TrialState.FAIL)
