"""A search that is killed or interrupted loses nothing that was finished, and goes on as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import formula, study

from mmspec.errors import Failure, UserError
from mmspec.study import search

TINY = Path(__file__).with_name("tiny.py")


def start(folder, *options):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TINY.parents[2]), *sys.path])}
    return subprocess.Popen(
        [sys.executable, TINY, folder, *options], env=environment, stderr=subprocess.PIPE, text=True,
        preexec_fn=listening,
    )  # fmt: skip


def listening():
    """What runs in the background of a script hears no Ctrl-C, and hands that on to its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for_trainings(process, folder, number):
    """Until so many have begun, or the process ended."""
    end = time.monotonic() + 120
    while len(trainings(folder)) < number and process.poll() is None:
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def trainings(folder):
    begun = folder / "begun"
    return begun.read_text().split() if begun.exists() else []


def finished(folder):
    return {path.parent.name for path in (folder / "out" / "trials").glob("*/trial.json")}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return search(study(folder), folder / "out", evaluate=formula)


def outcome(folder):
    return json.loads((folder / "out" / "front.json").read_text())


@pytest.mark.slow
def test_a_search_that_is_killed_twice_trains_nothing_twice_and_finds_the_same_front(tmp_path, uninterrupted):
    for number in (2, 5):
        process = start(tmp_path, "--resume")
        wait_for_trainings(process, tmp_path, number)
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    cut = set(trainings(tmp_path)) - finished(tmp_path)
    process = start(tmp_path, "--resume")
    assert process.wait(timeout=120) == 0, process.stderr.read()
    begun = trainings(tmp_path)
    assert {name for name in begun if begun.count(name) > 1} <= cut | {begun[1]}  # only what the kills cut short
    found = outcome(tmp_path)
    assert [m["params"] for m in found["front"]] == [dict(m.params) for m in uninterrupted]
    assert [m["values"] for m in found["front"]] == [dict(m.values) for m in uninterrupted]
    assert found["hypervolume"] == pytest.approx(uninterrupted.hypervolume)
    assert len(found["front"]) + len(found["dominated"]) == len(uninterrupted.trained)


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_leaves_exit_code_2(tmp_path):
    process = start(tmp_path)
    wait_for_trainings(process, tmp_path, 3)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert "of 8 trainings are finished and kept in out" in said
    assert "go on with: mmspec search study.yaml --resume -o out" in said
    assert "Traceback" not in said
    kept = finished(tmp_path)
    assert len(kept) >= 2
    assert start(tmp_path, "--resume").wait(timeout=120) == 0
    assert all(trainings(tmp_path).count(name) == 1 for name in kept)


def test_a_full_disk_is_said_in_one_line_and_what_was_finished_is_kept(tmp_path, monkeypatch):
    from sqlalchemy import event

    from mmspec.study import store

    made, whole = store.open_file, []

    def small(folder):
        """SQLite itself refuses to grow the file, with the error that a full disk gives."""
        storage = made(folder)
        if whole:
            event.listen(storage.engine, "connect", lambda db, _: db.execute(f"PRAGMA max_page_count = {whole[0]}"))
            storage.engine.dispose()  # so that the connections of now on are small
        return storage

    monkeypatch.setattr(store, "open_file", small)
    with pytest.raises(UserError):  # a few trainings, then Ctrl-C
        search(
            study(tmp_path), tmp_path / "out", evaluate=lambda s, f, *r: formula(s, f, *r) if f.name < "003" else stop()
        )
    whole.append((tmp_path / "out" / "study.db").stat().st_size // 4096)
    with pytest.raises(Failure, match=r"cannot be written .*disk is full.*go on with --resume"):
        search(study(tmp_path), tmp_path / "out", resume=True, evaluate=wordy)
    whole.clear()
    front = search(study(tmp_path), tmp_path / "out", resume=True, evaluate=wordy)
    assert len(front.trained) == 8


def test_a_store_that_another_program_holds_is_waited_for_and_then_said_in_one_line(tmp_path, monkeypatch):
    import sqlite3

    monkeypatch.setattr("mmspec.study.storage.BUSY_S", 0.3)
    others = []

    def held(spec, folder, *rest):
        if folder.name.startswith("002"):
            others.append(sqlite3.connect(tmp_path / "out" / "study.db", isolation_level=None))
            others[0].execute("BEGIN IMMEDIATE")
        return formula(spec, folder, *rest)

    with pytest.raises(Failure, match=r"cannot be written .*database is locked.*go on with --resume"):
        search(study(tmp_path), tmp_path / "out", evaluate=held)
    others[0].close()
    seen = []
    front = search(
        study(tmp_path),
        tmp_path / "out",
        resume=True,
        evaluate=lambda s, f, *r: seen.append(f.name) or formula(s, f, *r),
    )
    assert len(front.trained) == 8
    assert [name[:3] for name in seen] == ["003", "004", "005", "006", "007"]  # what had ended is told from its folder


def wordy(*arguments):
    return formula(*arguments) | {"notes": "x" * 20000}


def stop():
    raise KeyboardInterrupt


def test_a_result_that_was_measured_but_not_told_any_more_is_not_trained_again(tmp_path):
    """As when the process dies between the end of a training and the commit of the store."""

    def dies_after(spec, folder, seed, tick):
        metrics = formula(spec, folder, seed, tick)
        if folder.name.startswith("002"):
            from mmspec.files import write_atomically

            record = {"digest": spec_digest(spec), "seed": seed, "metrics": metrics, "seconds": 7.0}
            write_atomically(folder / "trial.json", json.dumps(record))
            raise KeyboardInterrupt
        return metrics

    from mmspec.study.candidate import digest as spec_digest

    with pytest.raises(UserError, match="2 of 8 trainings are finished"):
        search(study(tmp_path), tmp_path / "out", evaluate=dies_after)
    again = []

    def counting(spec, folder, seed, tick):
        again.append(folder.name[:3])
        return formula(spec, folder, seed, tick)

    front = search(study(tmp_path), tmp_path / "out", resume=True, evaluate=counting)
    assert again == ["003", "004", "005", "006", "007"]
    assert front.trained[2].seconds == 7.0


def test_the_folder_of_a_training_that_was_never_finished_is_not_kept(tmp_path):
    def stops(spec, folder, seed, tick):
        metrics = formula(spec, folder, seed, tick)
        if folder.name.startswith("001"):
            raise KeyboardInterrupt
        return metrics

    with pytest.raises(UserError):
        search(study(tmp_path), tmp_path / "out", evaluate=stops)
    (tmp_path / "out" / "trials" / "009-deadbeef").mkdir()
    front = search(study(tmp_path), tmp_path / "out", resume=True, evaluate=formula)
    assert {p.name for p in (tmp_path / "out" / "trials").iterdir()} == {t.folder.name for t in front.trained}
