"""The coordinator of a study: propose, price, refuse or hand over to be trained, remember; until the budget is spent.

Everything that decides what comes next is a function of (the study's seed, the turn, the history in the store). A search that
was stopped by Ctrl-C or killed therefore goes on with `resume` as if nothing had happened.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from mmspec.errors import Failure
from mmspec.study import events as say
from mmspec.study.candidate import TRAINS, Candidate, timed
from mmspec.study.evaluation import Untrainable, objective_values
from mmspec.study.events import Listener
from mmspec.study.inheritance import Heritage
from mmspec.study.jobs import Executor, Outcome
from mmspec.study.latency import Stopwatch
from mmspec.study.plan import Plan, unseen
from mmspec.study.result import Front, Trained
from mmspec.study.rungs import Reached
from mmspec.study.samplers import derived_seed, known_cost, sampler_of
from mmspec.study.space import stored
from mmspec.study.store import Pending, Store

if TYPE_CHECKING:
    from optuna.trial import Trial

    from mmspec.study.rungs import Ladder

PATIENCE = 5  # turns in a row that train nothing, before a new point is drawn instead of asking the sampler again


class Coordinator:
    """One run of a study: as many trainings under way as there are slots, until the budget is spent.

    With several slots one more is proposed while all are taken, so that who gets free waits for neither the sampler nor the store.
    """

    def __init__(
        self, planned: Plan, store: Store, executor: Executor, events: Listener, watch: Stopwatch | None = None
    ) -> None:
        self.planned, self.store, self.executor, self.events = planned, store, executor, events
        self.sampler = known_cost(planned) if planned.study.sampler == "known_cost" else None
        self.heritage = Heritage(planned) if planned.study.inherit else None
        self.watch = watch  # where the latency is sought or limited
        self.waiting: list[Pending] = []  # for a slot
        self.begun: set[int] = set()
        self.under_way = 0

    def run(self) -> None:
        study, store = self.planned.study, self.store
        trials, size = study.budget.trials, len(self.planned.space.domains)
        before = _finished_before(self.planned, store)
        self.events(say.Started(study.title, store.folder, trials, before, size, self.planned.size))
        self.waiting = [*store.pending.values()]  # what was under way when a search was stopped goes on first
        proposing = True
        while True:
            slots = self.executor.slots
            self.hand_out(slots)
            ahead = 1 if slots > 1 else 0  # a single slot is given what is chosen from all that is known
            if proposing and len(store.pending) < slots + ahead and self.affordable():
                proposing = self.propose()
            elif store.pending:
                self.hear(slots)
            else:
                return

    def hear(self, slots: int) -> None:
        """Wait for a training to end, and see to its slot first."""
        outcome = self.executor.wait(lambda *said: self.events(say.Progress(*said)))
        if outcome is not None:
            self.under_way -= 1
            self.hand_out(slots, outcome.seconds)
            self.settle(self.store.pending[outcome.number], outcome)

    def hand_out(self, slots: int, seconds: float = 0.0) -> None:
        """To free slots what waits for one; what was never begun is dropped once the budget's seconds are spent. `seconds`: of a
        training that the store does not know yet."""
        limit = self.planned.study.budget.seconds
        if limit is not None and self.waiting and _spent(self.planned, self.store)[1] + seconds >= limit:
            for pending in self.waiting:
                if pending.number not in self.begun and not pending.job.folder.exists():
                    self.store.drop(pending)
            self.waiting = [pending for pending in self.waiting if pending.number in self.store.pending]
        while self.waiting and self.under_way < slots:
            self.under_way += 1
            self.begin(self.waiting.pop(0))

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
            parent = self.heritage.parent(candidate, store.trained) if self.heritage else None
            self.waiting.append(store.begin(trial, candidate, seed, number, parent))

    def measured(self, candidate: Candidate) -> Candidate:
        """With its latency, where that matters: the last of the filters, because it takes seconds."""
        if self.watch is None:
            return candidate
        try:
            return timed(candidate, self.planned.pricer.limits, self.watch(candidate))
        except Untrainable as error:
            return replace(_failing(candidate), problem=str(error))

    def begin(self, pending: Pending) -> None:
        """To be trained to the next rung, or to the end."""
        job = pending.job
        if pending.number not in self.begun:
            self.begun.add(pending.number)
            candidate = self.measured(self.planned.pricer(job.params))
            names = dict.fromkeys([*self.planned.exact, *(limit.figure for limit in self.planned.pricer.limits)])
            self.events(say.Proposed(job.number, job.params, {name: candidate.figures[name] for name in names}))
        ladder, at = self.store.ladder, pending.reached[-1].step if pending.reached else 0
        self.executor.submit(replace(job, until=None if ladder is None else ladder.after(at)))

    def at_rung(self, pending: Pending, candidate: Candidate, reached: Reached, ladder: Ladder) -> None:
        store, job = self.store, pending.job
        ladder.note(job.number, [reached])
        further = ladder.goes_on(job.number, reached.step)
        self.events(say.Rung(job.number, job.params, reached.step, reached.values, reached.seconds, further))
        if further:
            self.waiting.append(store.go_on(pending, reached))
        else:
            store.tell_stopped(pending, candidate, reached)

    def settle(self, pending: Pending, outcome: Outcome) -> None:
        planned, store, job = self.planned, self.store, pending.job
        candidate = self.measured(planned.pricer(job.params))
        try:
            if outcome.problem or outcome.metrics is None:
                raise Untrainable(outcome.problem)
            values = objective_values(planned, candidate, candidate.figures, outcome.metrics)
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


def _failing(candidate: Candidate) -> Candidate:
    return replace(candidate, constraints={**candidate.constraints, TRAINS: 1.0})


def front_of(planned: Plan, store: Store) -> Front:
    return Front(
        planned.study.title, store.folder, planned.study.objectives, tuple(store.trained), dict(store.refused), dict(store.failed),
        store.repeated, planned.reference, planned.study.recipe.model_dump() if planned.study.recipe else {},
        rungs=store.ladder.reports() if store.ladder else (),
    )  # fmt: skip


def _finished_before(planned: Plan, store: Store) -> tuple[say.Finished, ...]:
    front = {member.trial for member in front_of(planned, store).members}
    return tuple(say.Finished(t.trial, t.params, t.values, t.seconds, t.trial in front, None) for t in store.trained)


def _on_front(trained: Trained, planned: Plan, store: Store) -> bool:
    return any(m.trial == trained.trial for m in front_of(planned, store).members)


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
