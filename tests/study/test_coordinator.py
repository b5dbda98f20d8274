"""Several slots: one training is proposed ahead, and that changes neither what is counted, nor what a stop or a resume leaves."""

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
from tiny import STUDY, formula, study

from mmspec.study.base import open_base
from mmspec.study.candidate import price
from mmspec.study.coordinator import Coordinator
from mmspec.study.jobs import InProcess
from mmspec.study.plan import plan
from mmspec.study.store import Store


class Slots(InProcess):
    """Trains one after the other as if `slots` did at once; `stop_after` so many ends, as Ctrl-C does."""

    def __init__(self, planned, slots, stop_after=None, seconds=None):
        super().__init__(formula, lambda params: planned.base.choose(dict(params)))
        self.slots, self.left, self.seconds, self.told, self.submitted = slots, stop_after, seconds, 0, []

    def submit(self, job):
        assert len(self._jobs) < self.slots
        self.submitted.append((job.number, self.told))
        super().submit(job)

    def wait(self, heard):
        if self.left is not None:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
        outcome = super().wait(heard)
        return outcome if self.seconds is None else replace(outcome, seconds=self.seconds)


@contextmanager
def begun(tmp_path, text=STUDY, resume=False):
    written = study(tmp_path, text)
    planned = plan(written, *open_base(written), price)
    folder = tmp_path / "out"
    if not resume:
        folder.mkdir()
        Store.create(folder, written.objectives, planned.question)
    with Store.open(folder, written.objectives) as store:
        yield planned, store


def run(planned, store, executor):
    def listen(event):
        executor.told += type(event).__name__ == "Finished"

    Coordinator(planned, store, executor, listen).run()


def test_a_free_slot_gets_its_next_training_before_the_last_one_is_written_down(tmp_path):
    with begun(tmp_path) as (planned, store):
        executor = Slots(planned, 2)
        run(planned, store, executor)
        assert len(store.trained) == len({t.digest for t in store.trained}) == 8
        assert executor.submitted == [(0, 0), (1, 0), *((n, n - 2) for n in range(2, 8))]


def test_one_slot_is_given_what_is_chosen_from_all_that_is_known(tmp_path):
    with begun(tmp_path) as (planned, store):
        executor = Slots(planned, 1)
        run(planned, store, executor)
        assert executor.submitted == [(n, n) for n in range(8)]


def test_what_was_proposed_and_never_begun_is_gone_on_with_after_a_stop(tmp_path):
    with begun(tmp_path) as (planned, store):
        with pytest.raises(KeyboardInterrupt):
            run(planned, store, Slots(planned, 2, stop_after=3))
        assert len(store.trained) == 3
        open_turns = {p.number: p.job.digest for p in store.pending.values()}
        assert list(open_turns) == [3, 4, 5]
    with begun(tmp_path, resume=True) as (planned, store):
        assert {p.number: p.job.digest for p in store.pending.values()} == open_turns
        run(planned, store, Slots(planned, 1))
        assert sorted(t.trial for t in store.trained) == list(range(8))
        assert {t.trial: t.digest for t in store.trained}.items() >= open_turns.items()


def test_what_was_never_begun_when_the_seconds_are_spent_leaves_nothing_but_a_reason(tmp_path):
    limited = STUDY.replace("trials: 8", "trials: 8, seconds: 25")
    with begun(tmp_path, limited) as (planned, store):
        executor = Slots(planned, 2, seconds=10.0)
        run(planned, store, executor)
        assert [number for number, _ in executor.submitted] == [
            0,
            1,
            2,
            3,
        ]  # after 20 s the fourth begins, after 30 s none
        assert sorted(t.trial for t in store.trained) == [0, 1, 2, 3]
        (dropped,) = [t for t in store.study.get_trials(deepcopy=False) if "dropped" in t.user_attrs]
        assert dropped.state.name == "FAIL"
        assert json.loads(dropped.user_attrs["job"])["number"] == 4
        turn = store.turn
    with begun(tmp_path, resume=True) as (planned, store):
        assert (store.turn, len(store.pending), store.started) == (turn, 0, 4)
        run(planned, store, Slots(planned, 2))
        assert len(store.trained) == len({t.digest for t in store.trained}) == 8


@pytest.mark.slow
def test_a_script_that_its_own_workers_cannot_import_is_told_how_to_search(tmp_path):
    study(tmp_path)
    script = tmp_path / "script.py"
    script.write_text("import mmspec\nmmspec.search('study.yaml', 'out', workers=2)\n")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert 'must search under `if __name__ == "__main__":`' in done.stderr
    assert done.returncode == 1
