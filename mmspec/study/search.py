"""The search from its study to its front: a folder or a database is begun or opened, its coordinator runs, the front is written."""

from __future__ import annotations

import gc
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from mmspec.errors import UserError
from mmspec.files import check_replaceable, replace_folder, write_atomically
from mmspec.study import events as say
from mmspec.study import members
from mmspec.study.base import open_base
from mmspec.study.candidate import price
from mmspec.study.confirming import confirmed
from mmspec.study.coordinator import Coordinator, front_of
from mmspec.study.evaluation import Evaluate, evaluation_of
from mmspec.study.events import Listener, silent
from mmspec.study.file import Study, load_study
from mmspec.study.first import flat
from mmspec.study.jobs import Executor, InProcess
from mmspec.study.latency import Stopwatch, wanted, with_ends
from mmspec.study.plan import Plan, plan
from mmspec.study.processes import Processes
from mmspec.study.result import Front
from mmspec.study.rungs import Ladder
from mmspec.study.storage import DATABASE
from mmspec.study.store import Store
from mmspec.training import Interrupted

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec
    from mmspec.study.database import Database


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
    if evaluate is not None:
        _check_takes(evaluate, planned.study)
    with Store.open(folder, planned.study.objectives, ladder_of(planned), database) as store:
        _same_question(store, planned)
        watch = Stopwatch.of(folder) if wanted(planned.study) else None
        planned = with_ends(planned, watch) if watch else planned
        try:
            with executor:
                Coordinator(planned, store, executor, events, watch).run()
                if not store.trained:
                    raise UserError(_nothing(store))
                front = confirmed(planned, front_of(planned, store), executor, events)
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
    before, now = flat(store.question), flat(planned.question)
    changed = [key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key)]
    if changed:
        said = [f"{store.folder} holds a study that asked something else:"]
        said += [f"  {key}: {before.get(key, 'nothing')} -> {now.get(key, 'nothing')}" for key in changed[:10]]
        said += [f"  ... and {len(changed) - 10} more"] if len(changed) > 10 else []
        said.append("undo the change, give another folder, or throw the old study away with --restart")
        raise UserError("\n".join(said))


def _executor(planned: Plan, evaluate: Evaluate | None, workers: int, kind: str) -> Executor:
    if workers < 1:
        raise UserError(f"at least one training is done at a time, not {workers}")
    if kind == "ray":
        from mmspec.study.on_ray import OnRay

        return OnRay(planned.study, workers, evaluate)
    if workers > 1:
        return Processes(planned.study, workers, evaluate)
    return InProcess(evaluate or evaluation_of(planned.study), lambda params: planned.base.choose(dict(params)))


def _check_takes(evaluate: Evaluate, study: Study) -> None:
    """Refuse an evaluate that cannot do what the study asks of it."""
    taken = inspect.signature(evaluate).parameters
    if study.ladder and "until" not in taken:
        raise UserError("a study with rungs needs an evaluate that takes `until`, the step to stop at")
    if study.inherit and "begin" not in taken:
        raise UserError("a study that says `inherit` needs an evaluate that takes `begin`, the weights to begin with")


def ladder_of(planned: Plan) -> Ladder | None:
    rungs = planned.study.ladder
    return None if rungs is None else Ladder(rungs, planned.study.objectives, planned.exact)


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
