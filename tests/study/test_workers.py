"""Several trainings at once, in processes of their own: as fast as they should be, and nothing lost when one or all are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import STUDY, deadly, formula, sleeping, study

from mmspec.errors import UserError
from mmspec.study import events as say
from mmspec.study import search

TINY = Path(__file__).with_name("tiny.py")


def test_workers_find_what_one_process_finds_in_the_same_small_space(tmp_path):
    small = STUDY.replace("[1, 2, 3, 4]", "[1]").replace("trials: 8", "trials: 50")
    (tmp_path / "alone").mkdir(), (tmp_path / "together").mkdir()
    alone = search(study(tmp_path / "alone", small), tmp_path / "a", evaluate=formula)
    together = search(study(tmp_path / "together", small), tmp_path / "b", evaluate=formula, workers=3)
    assert {t.digest for t in alone.trained} == {t.digest for t in together.trained}
    assert len(together.trained) == len({t.digest for t in together.trained}) == 12
    assert sorted(t.trial for t in together.trained) == list(range(12))


def test_a_function_that_other_processes_cannot_find_is_refused(tmp_path):
    with pytest.raises(UserError, match="must be a function of a module"):
        search(study(tmp_path), tmp_path / "out", evaluate=lambda *a: formula(*a), workers=2)
    with pytest.raises(UserError, match="at least one training"):
        search(study(tmp_path), tmp_path / "out", evaluate=formula, workers=0)


def test_a_worker_that_dies_is_replaced_and_a_spec_that_kills_two_is_not_tried_again(tmp_path):
    heard = []
    front = search(study(tmp_path), tmp_path / "out", evaluate=deadly, workers=2, events=heard.append)
    assert len(front.trained) == 8
    assert all(t.params["encoders.image.width"] != 32 for t in front.trained)
    failed = [event for event in heard if isinstance(event, say.Failed)]
    assert failed
    assert all(event.reason == "its process ended by signal 9, as when memory is short" for event in failed)
    assert all(event.params["encoders.image.width"] == 32 for event in failed)


@pytest.mark.slow
def test_four_workers_do_almost_four_times_the_work_of_one(tmp_path):
    """Trainings that sleep: what is lost is the search's own."""
    text = STUDY.replace("trials: 8", "trials: 16")
    began = []
    search(
        study(tmp_path, text), tmp_path / "out", evaluate=sleeping, workers=4,
        events=lambda event: began.append(time.perf_counter()) if isinstance(event, say.Progress | say.Finished) else None,
    )  # fmt: skip
    ideal = 16 * 2.0 / 4
    assert ideal / (began[-1] - began[0] + 2.0) >= 0.6  # the benchmark measures it on a quiet machine


@pytest.mark.slow
def test_a_search_with_workers_that_is_killed_loses_no_result_and_trains_none_twice(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TINY.parents[2]), *sys.path])}
    command = [sys.executable, TINY, tmp_path, "--resume", "--workers", "2"]
    cut = set()
    for number in (3, 6):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 120
        while len(ended(tmp_path)) < number and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        time.sleep(0.5)  # its workers notice
        cut |= set(begun(tmp_path)) - ended(tmp_path)
    kept = ended(tmp_path) - cut
    process = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    found = json.loads((tmp_path / "out" / "front.json").read_text())
    assert len(found["front"]) + len(found["dominated"]) == 8
    assert len(kept) >= 2
    assert all(begun(tmp_path).count(name) == 1 for name in kept)


def begun(folder):
    return (folder / "begun").read_text().split()


def ended(folder):
    return {path.parent.name for path in (folder / "out" / "trials").glob("*/trial.json")}
