"""Trainings in processes of their own, several at once. The processes never open the study's storage: they get jobs and answer.

A worker lives as long as the search. When one dies (killed, out of memory), its job is given once more to a fresh one, which goes
on from the checkpoint; a second death is the spec's own failure. When the search dies, its workers see the pipe close and end.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Self

from mmspec.errors import Failure, UserError
from mmspec.study.jobs import Heard, Job, Outcome, run

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess, SpawnProcess

    from mmspec.study.evaluation import Evaluate, Tick
    from mmspec.study.file import Study

DEATHS = 2  # of the processes that train one spec, after which it is not tried again
PRELOADED = ["mmspec.training", "mmspec.weights", "mmspec.components", "mmspec.study.base", "mmspec.study.processes"]
PATIENCE_S = 20.0  # for workers that write a checkpoint before they end


@dataclass(eq=False)
class _Worker:
    process: ForkServerProcess | SpawnProcess
    pipe: Connection
    job: Job | None = None
    ready: bool = False  # has come as far as to ask for a job


@dataclass
class Processes:
    """`slots` workers.

    evaluate     instead of the study's recipe or hook; it must be a function of a module
    patience_s   after which `wait` gives None; it waits for ever by default
    stop_s       that an interrupted training has for its checkpoint
    """

    study: Study
    slots: int
    evaluate: Evaluate | None = None
    patience_s: float | None = None
    stop_s: float = PATIENCE_S
    _workers: list[_Worker] = field(default_factory=list)
    _waiting: list[Job] = field(default_factory=list)
    _deaths: dict[int, int] = field(default_factory=dict)

    def __enter__(self) -> Self:
        try:
            pickle.dumps(self.evaluate)
        except (AttributeError, pickle.PicklingError) as error:
            raise UserError(
                f"what evaluates must be a function of a module, to be found by other processes: {error}"
            ) from None
        if _forks():
            from multiprocessing import forkserver

            multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
            forkserver.ensure_running()  # it imports torch while the first trainings are proposed
        return self

    def warm(self) -> None:
        """Start them all, also those for whom there is nothing to do yet."""
        while len(self._workers) < self.slots:
            self._start()

    def submit(self, job: Job) -> None:
        self.warm()
        self._waiting.append(job)
        self._hand_out()

    def wait(self, heard: Heard) -> Outcome | None:
        end = None if self.patience_s is None else time.monotonic() + self.patience_s
        while True:
            for worker in self._ready(None if end is None else max(0.0, end - time.monotonic())):
                outcome = self._hear(worker, heard)
                if outcome is not None:
                    self._deaths.pop(outcome.number, None)
                    self._hand_out()
                    return outcome
            if end is not None and time.monotonic() >= end:
                return None

    def __exit__(self, *_: object) -> None:
        """Workers are interrupted, so that they keep a checkpoint of what is under way."""
        for worker in self._workers:
            worker.pipe.close()
            if worker.job is not None and worker.process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGINT)
        for worker in self._workers:
            worker.process.join(self.stop_s)
            if worker.process.is_alive():
                worker.process.kill()
        self._workers.clear()

    def _hand_out(self) -> None:
        while self._waiting:
            idle = next((worker for worker in self._workers if worker.job is None), None)
            if idle is None and len(self._workers) >= self.slots:
                return
            worker = idle or self._start()
            worker.job = self._waiting.pop(0)
            with suppress(BrokenPipeError):  # its death is heard when it is waited for
                worker.pipe.send(worker.job)

    def _start(self) -> _Worker:
        """A process that has torch already, where the system can fork one off."""
        context: Any = multiprocessing.get_context("forkserver" if _forks() else "spawn")
        ours, theirs = context.Pipe()
        threads = max(1, (os.cpu_count() or 1) // self.slots)
        arguments = (theirs, self.study.text, str(self.study.path), self.evaluate, threads)
        process = context.Process(target=work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _ready(self, seconds: float | None) -> list[_Worker]:
        handles: dict[Any, _Worker] = {}
        for worker in self._workers:
            handles |= {worker.pipe: worker, worker.process.sentinel: worker}
        return list(dict.fromkeys(handles[each] for each in wait(list(handles), seconds)))

    def _hear(self, worker: _Worker, heard: Heard) -> Outcome | None:
        try:
            while worker.pipe.poll():
                kind, said = worker.pipe.recv()
                if kind == "ready":
                    worker.ready = True
                elif kind == "tick":
                    heard(*said)
                elif kind == "done":
                    worker.job = None
                    return said  # type: ignore[no-any-return]
                elif kind == "user error":
                    raise UserError(said)
                else:
                    raise Failure(said)
        except (EOFError, ConnectionResetError):
            return self._died(worker)
        return None if worker.process.is_alive() else self._died(worker)

    def _died(self, worker: _Worker) -> Outcome | None:
        self._workers.remove(worker)
        worker.process.join()
        job, code = worker.job, worker.process.exitcode
        if not worker.ready and code and code > 0:
            raise UserError(
                f"the processes that train cannot start: one ended with exit code {code}, see above. A script that searches with "
                'workers is imported by them, and so it must search under `if __name__ == "__main__":`'
            )
        if job is None:
            return None
        self._deaths[job.number] = self._deaths.get(job.number, 0) + 1
        if self._deaths[job.number] >= DEATHS:
            how = f"by signal {-code}, as when memory is short" if code and code < 0 else f"with exit code {code}"
            return Outcome(job.number, problem=f"its process ended {how}")
        self._waiting.insert(0, job)
        self._hand_out()
        return None


def work(pipe: Connection, text: str, origin: str, evaluate: Evaluate | None, threads: int) -> None:
    """What a worker does: jobs in, ticks and outcomes out, until the pipe closes."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in a terminal is heard by the search alone, which passes it on once
    threading.Thread(target=_end_with_the_search, daemon=True).start()
    try:
        train = trainings(text, origin, evaluate, threads)
        pipe.send(("ready", None))
        while True:
            job: Job = pipe.recv()

            def tick(step: int, steps: int, metrics: Mapping[str, float], number: int = job.number) -> None:
                pipe.send(("tick", (number, step, steps, dict(metrics))))

            pipe.send(("done", train(job, tick)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except UserError as error:
        _say(pipe, "user error", str(error))
    except MemoryError:
        os._exit(1)  # not even a message may be possible
    except Exception as error:
        _say(pipe, "failure", f"{type(error).__name__}: {error}")


def trainings(text: str, origin: str, evaluate: Evaluate | None, threads: int) -> Callable[[Job, Tick], Outcome]:
    """How a process that has nothing but the study's text trains.   Raises UserError, of jobs too: their base is another."""
    import torch

    from mmspec.study.base import open_base
    from mmspec.study.candidate import digest
    from mmspec.study.evaluation import evaluation_of
    from mmspec.study.file import read_study

    torch.set_num_threads(threads)
    study = read_study(text, origin)
    base, _ = open_base(study)
    method = evaluate or evaluation_of(study)

    def train(job: Job, tick: Tick) -> Outcome:
        spec = base.choose(dict(job.params))
        if digest(spec) != job.digest:
            raise UserError(f"the base of {origin} has changed since this search began")
        return run(job, spec, method, tick)

    return train


def _forks() -> bool:
    """Whether the system can fork a worker off a process that has torch already."""
    return "forkserver" in multiprocessing.get_all_start_methods()


def _end_with_the_search() -> None:
    """A search that was killed may be resumed at once: nobody else may then still write into the folders of its trainings."""
    search = multiprocessing.parent_process()
    if search is not None:
        search.join()
        os._exit(1)


def _say(pipe: Connection, kind: str, message: str) -> None:
    with suppress(BrokenPipeError, KeyboardInterrupt):  # the search may be ending already
        pipe.send((kind, message))
