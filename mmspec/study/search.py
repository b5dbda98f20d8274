"""The search: propose, price, refuse or train, remember; one process, one training at a time.

Everything that decides what comes next is a function of (the study's seed, the turn, the history in the store). A search that
was stopped by Ctrl-C or killed therefore goes on with `resume` as if nothing had happened.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmspec.errors import Failure, UserError
from mmspec.files import check_replaceable, replace_folder, write_atomically
from mmspec.study import events as say
from mmspec.study import members
from mmspec.study.base import open_base
from mmspec.study.candidate import TRAINS, Candidate, price, timed
from mmspec.study.confirming import again, with_means
from mmspec.study.evaluation import Evaluate, Untrainable, evaluation_of, objective_value, test_accuracy
from mmspec.study.events import Listener, silent
from mmspec.study.file import Study, load_study
from mmspec.study.jobs import Executor, InProcess, Outcome
from mmspec.study.latency import Stopwatch, wanted, with_ends
from mmspec.study.learned import BOUNDS, learned_cost
from mmspec.study.plan import Plan, plan, unseen
from mmspec.study.processes import Processes
from mmspec.study.result import Front, Trained
from mmspec.study.rungs import Ladder, Reached
from mmspec.study.samplers import derived_seed, known_cost, sampler_of
from mmspec.study.space import stored
from mmspec.study.store import DATABASE, Pending, Store
from mmspec.training import Interrupted

if TYPE_CHECKING:
    from optuna.trial import Trial

    from mmspec.spec import ModelSpec
    from mmspec.study.database import Database

PATIENCE = 5  # turns in a row that train nothing, before a new point is drawn instead of asking the sampler again


def search(
    study: Study | str | Path,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    restart: bool = False,
    events: Listener = silent,
    evaluate: Evaluate | None = None,
    workers: int = 1,
    executor: str = "processes",
    storage: str | None = None,
) -> Front:
    """Search around a study's base until its budget is spent.

    study     a study, its path, or the name of a shipped one
    out       where everything is written; runs/<the study's name> by default
    resume    go on with the study in `out`, or begin it where there is none
    restart   throw the study in `out` away first
    events    is told what happens (see `mmspec.study.events`)
    evaluate  instead of the study's recipe or hook: (spec, folder, seed, tick) -> metrics
    workers   trainings at once, each in a process of its own; one is done here
    executor  "processes" of this machine, or "ray": tasks of a cluster that sees `out`
    storage   the URL of a PostgreSQL database to keep the study in, instead of a file in `out`; many hosts: `mmspec.study.hosts`

    Raises   SpecError: a mistake in the study or its base.   UserError: the folder holds another study; Ctrl-C; data.
    """
    study = study if isinstance(study, Study) else load_study(study)
    base = open_base(study)
    gc.freeze()  # what was imported is not garbage: looking through it again and again costs a fifth of the pricing
    planned = plan(study, *base, price)
    folder = Path(out) if out is not None else Path("runs") / study.title
    trains = _executor(planned, evaluate, workers, executor)
    if storage is None:
        _open_folder(folder, planned, resume, restart)
        return carry_out(planned, folder, trains, events, evaluate)
    from mmspec.study.database import Database
    from mmspec.study.shared import open_shared

    database = Database.of(storage, study.title)
    with database.alone():
        open_shared(folder, planned, database, resume, restart)
        return carry_out(planned, folder, trains, events, evaluate, database)


def carry_out(
    planned: Plan,
    folder: Path,
    executor: Executor,
    events: Listener,
    evaluate: Evaluate | None,
    database: Database | None = None,
) -> Front:
    """A study that was begun, to its end. `database`: where it is kept, by the process that holds its lock."""
    with Store.open(folder, planned.study.objectives, _ladder(planned, evaluate), database) as store:
        _same_question(store, planned)
        watch = Stopwatch.of(folder) if wanted(planned.study) else None
        planned = with_ends(planned, watch) if watch else planned
        try:
            with executor:
                _Search(planned, store, executor, events, watch).run()
                if not store.trained:
                    raise UserError(_nothing(store))
                front = _confirmed(planned, _front(planned, store), executor, events)
            front = members.write(front, planned, load_member)
        except (KeyboardInterrupt, Interrupted) as stop:
            raise UserError(_stopped(planned, store)) from stop
    events(say.Written(folder, front.files))
    return front


def load_member(path: Path) -> ModelSpec:
    import mmspec

    return mmspec.load(path)


def _open_folder(folder: Path, planned: Plan, resume: bool, restart: bool) -> None:
    begun = (folder / DATABASE).exists()
    if begun and not (resume or restart):
        raise UserError(f"{folder} already holds a study; go on with --resume, or throw it away with --restart")
    check_replaceable(folder)
    if not begun or restart:
        with replace_folder(folder) as new:
            write_atomically(new / "study.yaml", planned.study.text)
            (new / "trials").mkdir()
            Store.create(new, planned.study.objectives, planned.question)


def _same_question(store: Store, planned: Plan) -> None:
    """Refuse to go on with a study that asked something else; its budget may change."""
    before, now = _flat(store.question), _flat(planned.question)
    changed = [key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key)]
    if changed:
        said = [f"{store.folder} holds a study that asked something else:"]
        said += [f"  {key}: {before.get(key, 'nothing')} -> {now.get(key, 'nothing')}" for key in changed[:10]]
        said += [f"  ... and {len(changed) - 10} more"] if len(changed) > 10 else []
        said.append("undo the change, give another folder, or throw the old study away with --restart")
        raise UserError("\n".join(said))


def _flat(data: Any, prefix: str = "") -> dict[str, str]:
    """Leaves by dotted path, in words: {"base.fusion.joint.depth": "2"}."""
    items = data.items() if isinstance(data, Mapping) else enumerate(data) if isinstance(data, list | tuple) else ()
    found = {k: v for key, item in items for k, v in _flat(item, f"{prefix}.{key}" if prefix else str(key)).items()}
    return found or {prefix: str(data)}


def _executor(planned: Plan, evaluate: Evaluate | None, workers: int, kind: str) -> Executor:
    if workers < 1:
        raise UserError(f"at least one training is done at a time, not {workers}")
    if kind == "ray":
        from mmspec.study.on_ray import OnRay

        return OnRay(planned.study, workers, evaluate)
    if workers > 1:
        return Processes(planned.study, workers, evaluate)
    return InProcess(evaluate or evaluation_of(planned.study), lambda params: planned.base.choose(dict(params)))


def _ladder(planned: Plan, evaluate: Evaluate | None) -> Ladder | None:
    rungs = planned.study.ladder
    if rungs is None:
        return None
    if evaluate is not None and "until" not in inspect.signature(evaluate).parameters:
        raise UserError("a study with rungs needs an evaluate that takes `until`, the step to stop at")
    return Ladder(rungs, planned.study.objectives, planned.exact)


class _Search:
    """One run of a study: as many trainings under way as there are slots, until the budget is spent."""

    def __init__(
        self, planned: Plan, store: Store, executor: Executor, events: Listener, watch: Stopwatch | None = None
    ) -> None:
        self.planned, self.store, self.executor, self.events = planned, store, executor, events
        self.sampler = known_cost(planned) if planned.study.sampler == "known_cost" else None
        self.watch = watch  # where the latency is sought or limited

    def run(self) -> None:
        study, store = self.planned.study, self.store
        trials, size = study.budget.trials, len(self.planned.space.domains)
        self.events(say.Started(study.title, store.folder, trials, len(store.trained), size, self.planned.size))
        for pending in store.pending.values():  # what was under way when a search was stopped goes on first
            self.submit(pending)
        proposing = True
        while True:
            while proposing and len(store.pending) < self.executor.slots and self.affordable():
                proposing = self.propose()
            if not store.pending:
                return
            outcome = self.executor.wait(lambda *said: self.events(say.Progress(*said)))
            if outcome is not None:
                self.settle(store.pending[outcome.number], outcome)

    def affordable(self) -> bool:
        """Whether one more training may begin, were it and all that are under way to go to their ends."""
        budget, store = self.planned.study.budget, self.store
        trials, seconds = _spent(self.planned, store)
        return trials + len(store.pending) + 1 <= budget.trials + 1e-9 and (
            budget.seconds is None or seconds < budget.seconds
        )

    def known(self, candidate: Candidate) -> bool:
        digest = candidate.digest
        slow = self.watch is not None and self.watch.bars(candidate, self.planned.pricer.limits)
        return digest in self.store.digests or bool(self.store.barred(digest)) or slow

    def propose(self) -> bool:
        """One turn: a point that is refused by its price, answered from the store, or under way now. False if none is left."""
        planned, store = self.planned, self.store
        study, turn = planned.study, store.turn
        point = planned.first[turn] if turn < len(planned.first) else None
        nothing_new = planned.all and all(self.known(c) for c in planned.all if c.feasible)
        if point is None and (store.idle >= PATIENCE or nothing_new):
            point = unseen(planned, self.known, derived_seed("draw", study.seed, turn))
            if point is None:
                return False
        encoded = point and {d.key: stored(d, point[d.key]) for d in planned.space.domains if d.key in point}
        sampler = self.sampler or sampler_of(study.sampler, study.seed, turn, study.budget.trials)
        trial = store.ask(sampler, encoded)
        try:
            self.judge(trial)
        except BaseException:
            with suppress(
                Failure
            ):  # the first error is the one to tell; a turn that stays open is closed by the next resume
                store.cut_short(trial)
            raise
        return True

    def judge(self, trial: Trial) -> None:
        planned, store, events = self.planned, self.store, self.events
        params = planned.space.suggest(trial)  # all of it, before anything is judged
        candidate = planned.pricer(params)
        if candidate.problem or candidate.spec is None:
            store.tell_infeasible(trial, candidate, "refused", candidate.problem)
            events(say.Refused(params, candidate.problem))
        elif reason := store.barred(candidate.digest):
            store.tell_infeasible(trial, _failing(candidate), "again", reason)
            events(say.Refused(params, reason))
        elif candidate.digest in store.stopped:
            reason = f"was stopped after {store.stopped[candidate.digest][0]} steps"
            store.tell_infeasible(trial, candidate, "again", reason)
            events(say.Refused(params, reason))
        elif twin := store.twin(candidate.digest):
            store.tell_known(trial, candidate, twin)
            events(say.Known(params, twin.trial))
        elif under_way := store.under_way(candidate.digest):
            store.overlook(trial, candidate)
            events(say.Known(params, under_way.number))
        elif (candidate := self.measured(candidate)).problem:
            store.tell_infeasible(trial, candidate, "refused", candidate.problem)
            events(say.Refused(params, candidate.problem))
        else:
            number = store.started
            seed = derived_seed("train", planned.study.seed, number)
            self.submit(store.begin(trial, candidate, seed, number))

    def measured(self, candidate: Candidate) -> Candidate:
        """With its latency, where that matters: the last of the filters, because it takes seconds."""
        if self.watch is None:
            return candidate
        try:
            return timed(candidate, self.planned.pricer.limits, self.watch(candidate))
        except Untrainable as error:
            return replace(_failing(candidate), problem=str(error))

    def submit(self, pending: Pending) -> None:
        candidate = self.measured(self.planned.pricer(pending.job.params))
        names = dict.fromkeys([*self.planned.exact, *(limit.figure for limit in self.planned.pricer.limits)])
        shown = {name: candidate.figures[name] for name in names}
        self.events(say.Proposed(pending.number, pending.job.params, shown))
        self.hand_over(pending)

    def hand_over(self, pending: Pending) -> None:
        """To be trained to the next rung, or to the end."""
        ladder, at = self.store.ladder, pending.reached[-1].step if pending.reached else 0
        self.executor.submit(replace(pending.job, until=None if ladder is None else ladder.after(at)))

    def at_rung(self, pending: Pending, candidate: Candidate, reached: Reached, ladder: Ladder) -> None:
        store, job = self.store, pending.job
        ladder.note(job.number, [reached])
        further = ladder.goes_on(job.number, reached.step)
        self.events(say.Rung(job.number, job.params, reached.step, reached.values, reached.seconds, further))
        if further:
            self.hand_over(store.go_on(pending, reached))
        else:
            store.tell_stopped(pending, candidate, reached)

    def settle(self, pending: Pending, outcome: Outcome) -> None:
        planned, store, job = self.planned, self.store, pending.job
        candidate = self.measured(planned.pricer(job.params))
        try:
            if outcome.problem or outcome.metrics is None:
                raise Untrainable(outcome.problem)
            values = _values(planned, candidate, candidate.figures, outcome.metrics)
        except Untrainable as error:
            store.tell_failed(pending, _failing(candidate), str(error))
            self.events(say.Failed(job.number, job.params, str(error)))
            return
        if outcome.step is not None and store.ladder is not None:
            self.at_rung(pending, candidate, Reached(outcome.step, values, outcome.seconds), store.ladder)
            return
        seconds = outcome.seconds + sum(each.seconds for each in pending.reached)
        trained = store.tell_trained(pending, candidate, outcome.metrics, values, seconds)
        on_front = _on_front(trained, planned, store)
        left = _remaining(planned, store) / self.executor.slots
        self.events(say.Finished(job.number, job.params, values, seconds, on_front, left))


def _confirmed(planned: Plan, front: Front, executor: Executor, events: Listener) -> Front:
    """The front of fresh trainings' means. Those that were done before a stop are found in their folders."""
    if not planned.study.confirm:
        return front
    left = again(front, planned, planned.study.confirm)
    of = {each.job.number: each for each in left}
    events(say.Confirming(len(left), len({each.trained.trial for each in left})))
    values: dict[int, list[Mapping[str, float]]] = {}
    tests: dict[int, list[float]] = {}
    under_way = 0
    while left or under_way:
        while left and under_way < executor.slots:
            executor.submit(left.pop(0).job)
            under_way += 1
        outcome = executor.wait(lambda *_: None)
        if outcome is None:
            continue
        under_way -= 1
        trained = of[outcome.number].trained
        try:
            if outcome.metrics is None:
                raise Untrainable(outcome.problem)
            found = _values(planned, planned.pricer(trained.params), trained.figures, outcome.metrics)
        except Untrainable as error:
            events(say.Reproduced(trained.trial, {}, outcome.seconds, str(error)))
            continue
        values.setdefault(trained.trial, []).append(found)
        if (test := test_accuracy(of[outcome.number].job.folder)) is not None:
            tests.setdefault(trained.trial, []).append(test)
        events(say.Reproduced(trained.trial, found, outcome.seconds))
    return with_means(front, values, tests, planned.exact) if values else front


def _values(
    planned: Plan, candidate: Candidate, figures: Mapping[str, float], metrics: Mapping[str, Any]
) -> dict[str, float]:
    """Every objective: of the price, or measured.   Raises Untrainable, UserError."""
    found = {}
    for o in planned.study.objectives:
        if o.name in planned.exact:
            found[o.name] = figures[o.name]
        elif o.name in BOUNDS and candidate.spec is not None:
            found[o.name] = learned_cost(candidate.spec, o.name, metrics)
        else:
            found[o.name] = objective_value(metrics, o.name)
    return found


def _failing(candidate: Candidate) -> Candidate:
    return replace(candidate, constraints={**candidate.constraints, TRAINS: 1.0})


def _front(planned: Plan, store: Store) -> Front:
    return Front(
        planned.study.title, store.folder, planned.study.objectives, tuple(store.trained), dict(store.refused), dict(store.failed),
        store.repeated, planned.reference, planned.study.recipe.model_dump() if planned.study.recipe else {},
        rungs=store.ladder.reports() if store.ladder else (),
    )  # fmt: skip


def _on_front(trained: Trained, planned: Plan, store: Store) -> bool:
    return any(m.trial == trained.trial for m in _front(planned, store).members)


def _spent(planned: Plan, store: Store) -> tuple[float, float]:
    """Trainings and seconds. One that was stopped at a rung is the share of a training that it had."""
    whole = planned.study.recipe.steps if planned.study.recipe else 1
    parts = sum(step / whole for step, _ in store.stopped.values())
    seconds = sum(t.seconds for t in store.trained) + sum(seconds for _, seconds in store.stopped.values())
    return len(store.trained) + parts, seconds


def _remaining(planned: Plan, store: Store) -> float:
    """Seconds, judged by what the trainings so far took."""
    trials, spent = _spent(planned, store)
    left = spent / trials * (planned.study.budget.trials - trials)
    limit = planned.study.budget.seconds
    return left if limit is None else min(left, max(0.0, limit - spent))


def _stopped(planned: Plan, store: Store) -> str:
    done, trials = len(store.trained), planned.study.budget.trials
    return (
        f"stopped; {done} of {trials} trainings are finished and kept in {store.folder}\n"
        f"go on with: mmspec search {planned.study.path} --resume"
        + (f" -o {store.folder}" if store.folder != Path("runs") / planned.study.title else "")
    )


def _nothing(store: Store) -> str:
    reasons = "; ".join(f"{n} times {reason}" for reason, n in (store.refused + store.failed).most_common(5))
    return f"nothing could be trained: {reasons or 'the budget was spent before the first training'}"
