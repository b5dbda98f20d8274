"""Many processes share a study through a real PostgreSQL: each training is done once, whoever dies, and one front comes out."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import postgres
import pytest
from curves import CHAINS, LADDER, STEPS, noted_curves, parts
from small_spec import small_spec
from tiny import STUDY, formula, heirs, noted, study

from mmspec.cli.entry import run
from mmspec.errors import Failure, UserError
from mmspec.study import search
from mmspec.study.board import LOSSES, Board
from mmspec.study.database import Database
from mmspec.study.hosts import take_part
from mmspec.study.inheritance import Parent
from mmspec.study.jobs import Job, Outcome

if os.environ.get("MMSPEC_TESTS_NEED") != "postgresql":
    pytest.importorskip("psycopg", reason="studies of many hosts need psycopg: pip install 'mmspec[postgres]'")
    if postgres.programs() is None:
        pytest.skip(f"no PostgreSQL here; {postgres.WHERE}", allow_module_level=True)

TINY = Path(__file__).with_name("tiny.py")
PATIENCE_S = 300  # for processes that import torch on a machine that has more to do


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory() as folder:  # not pytest's own, into which only its user can look
        os.chmod(folder, 0o755)
        (Path(folder) / "cluster").mkdir()
        with postgres.server(Path(folder) / "cluster") as running:
            yield running


@pytest.fixture
def url(server):
    """Of an empty database."""
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return server.url


def start(folder, url, *options):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TINY.parents[2]), *sys.path])}
    command = [sys.executable, TINY, folder, "--storage", url, *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def begun(folder):
    """(training, process of the search) of everything that was begun."""
    path = folder / "begun"
    return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []


def finished(folder):
    return {path.parent.name for path in (folder / "out" / "trials").glob("*/trial.json")}


def until(true, processes=()):
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "nothing happened"
        assert all(process.poll() is None for process in processes), [p.communicate() for p in processes]
        time.sleep(0.02)


def told(folder):
    found = json.loads((folder / "out" / "front.json").read_text())
    return found, len(found["front"]) + len(found["dominated"])


# the board -----------------------------------------------------------------------------------------------------------


def board_of(url, folder, lease_s=60.0):
    board = Board(Database.of(url, "a study"), folder, lease_s)
    board.coordinate("the folder's name")
    return board


def job(folder, number=0):
    parent = Parent(1, "001-digest", ("image", "text"), 0.5, 2)
    place = folder / "trials" / f"{number:03d}"
    return Job(number, {"width": 8, "names": ("a", "b")}, "digest", place, 7, parent=parent)


def test_a_training_that_is_put_up_twice_is_taken_once_and_comes_as_it_was(url, tmp_path):
    board, other = board_of(url, tmp_path), board_of(url, tmp_path / "mounted elsewhere")
    assert board.put(job(tmp_path)) == board.put(job(tmp_path))
    taken = other.take("b")
    assert board.take("a") is None
    assert taken.job == replace(job(tmp_path / "mounted elsewhere"), params={"width": 8, "names": ["a", "b"]})


def test_many_who_take_at_once_never_get_the_same_training(url, tmp_path):
    board = board_of(url, tmp_path)
    for number in range(40):
        board.put(job(tmp_path, number))
    got = Counter()

    def take():
        mine = board_of(url, tmp_path)
        while taken := mine.take(threading.current_thread().name):
            got[taken.key] += 1

    threads = [threading.Thread(target=take) for _ in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(got) == 40 and set(got.values()) == {1}


def test_the_first_answer_counts(url, tmp_path):
    board = board_of(url, tmp_path)
    key = board.put(job(tmp_path))
    board.take("a")
    assert board.answer(key, Outcome(0, {"accuracy": 0.5}, 1.0))
    assert not board.answer(key, Outcome(0, {"accuracy": 0.9}, 1.0))
    assert board.answers([key]) == [(key, Outcome(0, {"accuracy": 0.5}, 1.0))]
    assert board.put(job(tmp_path)) == key
    assert board.take("b") is None  # it is not trained again


def test_what_a_silent_trainer_had_is_given_out_again_and_after_some_silences_no_more(url, tmp_path):
    board = board_of(url, tmp_path, lease_s=0.4)
    key = board.put(job(tmp_path, 3))
    for loss in range(LOSSES):
        name = f"trainer {loss}"
        assert board.slots() == 0
        board.beat(name, 2, {})
        assert board.slots() == 2
        assert board.take(name).key == key
        board.give_out_again()
        assert board.take("nobody") is None  # it was heard of
        time.sleep(0.5)
        board.give_out_again()
    assert board.beat(name, 2, {key: None}) == []  # its trainer learns that it is no longer its own
    assert board.take("nobody") is None
    ((_, outcome),) = board.answers([key])
    assert outcome.number == 3 and "went silent" in outcome.problem


def test_a_trainer_that_leaves_gives_back_what_it_has_not_finished(url, tmp_path):
    board = board_of(url, tmp_path)
    key = board.put(job(tmp_path))
    board.take("a"), board.beat("a", 1, {key: (0, 5, 10, {"loss": 1.0})})
    assert board.progress([key]) == [(0, 5, 10, {"loss": 1.0})]
    board.leave("a")
    assert board.take("b").key == key
    assert board.slots() == 0


# a study -------------------------------------------------------------------------------------------------------------


def test_one_process_finds_exactly_what_a_search_without_a_database_finds(url, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    text = STUDY + "inherit: true\n"
    alone = search(study(tmp_path / "a", text), tmp_path / "a" / "out", evaluate=heirs)
    shared = take_part(study(tmp_path / "b", text), url, tmp_path / "b" / "out", evaluate=heirs)
    assert alone.inherited
    assert [(t.trial, t.params, t.values, t.parent) for t in alone.trained] == [
        (t.trial, t.params, t.values, t.parent) for t in shared.trained
    ]


def test_with_rungs_one_process_stops_the_same_trainings_as_a_search_without_a_database(url, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    alone = search(study(tmp_path / "a", LADDER), tmp_path / "a" / "out", evaluate=noted_curves)
    shared = take_part(study(tmp_path / "b", LADDER), url, tmp_path / "b" / "out", evaluate=noted_curves)
    assert [(t.trial, t.params, t.values) for t in alone.trained] == [
        (t.trial, t.params, t.values) for t in shared.trained
    ]
    assert shared.rungs == alone.rungs and sum(rung.stopped for rung in shared.rungs) > 0
    assert parts(tmp_path / "b")[0] == parts(tmp_path / "a")[0]


@pytest.mark.slow
def test_two_processes_share_the_trainings_and_only_one_writes_the_front(url, tmp_path):
    study(tmp_path, LADDER)
    (tmp_path / "together").touch()
    processes = [start(tmp_path, url, "--rungs"), start(tmp_path, url, "--rungs")]
    said = [process.communicate(timeout=PATIENCE_S) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert sorted(out.strip() for out, _ in said) == ["front", "helped"]
    done, hosts = parts(tmp_path)
    assert all(
        chain in CHAINS for chain in done.values()
    )  # nothing twice, though a training changes hands at its rungs
    assert hosts == {str(process.pid) for process in processes}
    found, trained = told(tmp_path)
    stopped = {rung["step"]: rung["stopped"] for rung in found["rungs"]}
    assert Counter(chain[-1][1] for chain in done.values()) == Counter(stopped | {STEPS: trained})


@pytest.mark.slow
def test_when_the_coordinator_is_killed_another_goes_on_and_no_result_is_lost_or_made_twice(url, tmp_path):
    study(tmp_path)
    first = start(tmp_path, url)
    until(lambda: begun(tmp_path), [first])  # it coordinates
    others = [start(tmp_path, url)]
    until(lambda: len(finished(tmp_path)) >= 3, [first])
    first.send_signal(signal.SIGKILL)
    first.wait()
    time.sleep(0.2)
    kept = finished(tmp_path)
    out, err = others[0].communicate(timeout=PATIENCE_S)
    assert (others[0].returncode, out.strip()) == (0, "front"), err
    counts = Counter(name for name, _ in begun(tmp_path))
    assert all(counts[name] == 1 for name in kept)
    assert told(tmp_path)[1] == 8


@pytest.mark.slow
def test_a_host_that_is_killed_is_replaced_after_its_lease_and_one_that_is_ended_at_once(url, tmp_path):
    first, second, third = [start(tmp_path, url, "--trials", "24") for _ in range(3)]
    until(lambda: len({who for _, who in begun(tmp_path)}) == 3)
    (tmp_path / "begun").rename(tmp_path / "before")
    coordinator = next(p for p in (first, second, third) if coordinates(url, p))
    killed, ended = [p for p in (first, second, third) if p is not coordinator]
    killed.send_signal(signal.SIGKILL)
    ended.send_signal(signal.SIGTERM)  # as schedulers do
    assert "given back with its checkpoint" in ended.communicate(timeout=30)[1]
    out, err = coordinator.communicate(timeout=PATIENCE_S)
    killed.communicate()
    assert (coordinator.returncode, out.strip()) == (0, "front"), err
    assert told(tmp_path)[1] == 24
    assert {who for _, who in begun(tmp_path)} <= {str(p.pid) for p in (first, second, third)}


def coordinates(url, process):
    """Whether the lock is held by this process, by the port of its connection."""
    import psycopg

    query = (
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
        "AND application_name = %s"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query, (f"mmspec {process.pid}",)).fetchone()[0] > 0


@pytest.mark.slow
def test_a_database_that_is_away_for_a_moment_ends_nothing(server, url, tmp_path):
    study(tmp_path)
    process = start(tmp_path, url)
    until(lambda: len(finished(tmp_path)) >= 2, [process])
    server.stop()
    time.sleep(0.5)
    server.start()
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out.strip()) == (0, "front"), err
    names = Counter(name for name, _ in begun(tmp_path))
    assert sum(names.values()) - len(names) <= 1  # what was under way
    assert told(tmp_path)[1] == 8


@pytest.mark.slow
def test_a_database_that_stays_away_ends_the_search_in_one_line_and_the_same_command_goes_on(server, url, tmp_path):
    study(tmp_path)
    process = start(tmp_path, url)
    until(lambda: len(finished(tmp_path)) >= 2, [process])
    server.stop()
    try:
        err = process.communicate(timeout=60)[1].strip()
    finally:
        server.start()
    assert process.returncode == 2
    assert "has not answered for 4 s" in err and "the same command goes on" in err
    assert "secret" not in err and "Traceback" not in err
    kept = finished(tmp_path)
    front = take_part(study(tmp_path), url, tmp_path / "out", evaluate=formula)
    assert len(front.trained) == 8
    assert kept <= {t.folder.name for t in front.trained}


def test_a_database_that_goes_away_under_one_process_is_said_in_one_line_and_resume_goes_on(server, url, tmp_path):
    def stops(spec, folder, seed, tick):
        if folder.name.startswith("003"):
            server.stop()
        return formula(spec, folder, seed, tick)

    try:
        with pytest.raises(Failure, match=r"^.*\*\*\*@.* went away \(.*go on with --resume$"):
            search(study(tmp_path), tmp_path / "out", evaluate=stops, storage=url)
    finally:
        server.start()
    again = []

    def counting(spec, folder, seed, tick):
        again.append(folder.name[:3])
        return formula(spec, folder, seed, tick)

    front = search(study(tmp_path), tmp_path / "out", resume=True, evaluate=counting, storage=url)
    assert again == ["004", "005", "006", "007"]  # 003 was measured, and is read from its folder
    assert len(front.trained) == 8


# what is refused -----------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_shared_is_said_before_anything_is_trained_there(url, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    process = start(study(tmp_path / "a") and tmp_path / "a", url)
    until(lambda: begun(tmp_path / "a"), [process])
    with pytest.raises(UserError, match="is not the folder in which the study 'study' was begun"):
        take_part(study(tmp_path / "b"), url, tmp_path / "b" / "out", lease_s=4, evaluate=noted)
    assert process.wait(timeout=60) == 0  # the other is not disturbed
    assert not (tmp_path / "b" / "begun").exists()


def test_a_study_that_is_in_the_database_is_resumed_or_refused_as_one_in_a_file(url, tmp_path):
    def stops(spec, folder, seed, tick):
        if folder.name.startswith("003"):
            raise KeyboardInterrupt
        return formula(spec, folder, seed, tick)

    with pytest.raises(UserError, match="3 of 8 trainings are finished"):
        search(study(tmp_path), tmp_path / "out", evaluate=stops, storage=url)
    with pytest.raises(UserError, match=r"already holds a study 'study'.*--resume"):
        search(study(tmp_path), tmp_path / "out", evaluate=formula, storage=url)
    with Database.of(url, "study").alone(), pytest.raises(UserError, match="another process searches for 'study'"):
        search(study(tmp_path), tmp_path / "out", resume=True, evaluate=formula, storage=url)
    other = study(tmp_path, STUDY.replace("[1, 2, 3, 4]", "[1, 2, 3]"))
    with pytest.raises(UserError, match="asked something else"):
        take_part(other, url, tmp_path / "out", evaluate=formula)
    assert len(search(study(tmp_path), tmp_path / "out", resume=True, evaluate=formula, storage=url).trained) == 8
    assert len(search(study(tmp_path), tmp_path / "out", restart=True, evaluate=formula, storage=url).trained) == 8


@pytest.mark.parametrize(
    ("storage", "reason"),
    [
        ("sqlite:///study.db", "an SQLite file cannot be shared by hosts"),
        ("mysql://me:hidden@host/name", r"mysql://me:\*\*\*@host/name is not PostgreSQL"),
        ("not a url", "is not a URL"),
        (
            "postgresql://me:hidden@127.0.0.1:1/name",
            r"postgresql://me:\*\*\*@127.0.0.1:1/name does not answer: .*refused",
        ),
        ("postgresql://127.0.0.1:1/name?user=me&password=hidden", "does not answer"),
    ],
)
def test_a_storage_that_cannot_be_is_refused_in_one_line_without_its_password(
    storage, reason, tmp_path, capsys, monkeypatch
):
    study(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run(["search", "study.yaml", "--worker", "--storage", storage]) == 2
    said = capsys.readouterr().err.strip()
    assert "hidden" not in said and "\n" not in said
    assert re.search(reason, said)


def test_a_server_that_accepts_and_says_nothing_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    import socket

    monkeypatch.setattr("mmspec.study.database.CONNECT_S", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(UserError, match=r"does not answer: .*timeout"):
            Database.of(f"postgresql://127.0.0.1:{silent.getsockname()[1]}/x", "study")
        assert time.monotonic() - began < 10


def test_without_a_driver_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match=r"needs psycopg; install it with: pip install 'mmspec\[postgres\]'"):
        Database.of("postgresql://host/name", "study")


@pytest.mark.parametrize(
    "typed",
    [
        "--worker",
        "--worker --storage postgresql://h/x --restart",
        "--worker --storage postgresql://h/x --executor ray",
        "--lease 5",
    ],
)
def test_options_that_do_not_go_together_are_refused(typed, capsys):
    assert run(["search", "digits_pareto", *typed.split()]) == 2
    assert "--worker" in capsys.readouterr().err


def test_a_database_that_is_gone_is_a_failure_and_not_the_user_s_mistake(url):
    gone = Database.of(url, "study").gone("the server closed the connection", 60)
    assert isinstance(gone, Failure) and "secret" not in str(gone)


# the files for schedulers ----------------------------------------------------------------------------------------------

HOSTS = TINY.parents[2] / "docs" / "hosts"


@pytest.mark.slow
def test_the_file_for_slurm_is_a_worker_s_command(url, tmp_path):
    study(tmp_path, STUDY.replace("trials: 8", "trials: 1"), small_spec("tiny", size=8, length=32))
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "mmspec").write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from mmspec.cli import main; main()" "$@"\n'
    )
    (programs / "mmspec").chmod(0o755)
    given = {
        "STUDY": "study.yaml",
        "STORAGE": url,
        "OUT": "out",
        "PYTHONPATH": os.pathsep.join([str(TINY.parents[2]), *sys.path]),
    }
    environment = os.environ | given | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    command = ["sh", HOSTS / "slurm_array.sh"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert "wrote out" in done.stdout
    del environment["STORAGE"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and "STORAGE: postgresql://user@host/name" in done.stderr


def test_the_pods_of_kubernetes_run_a_worker_with_room_for_its_end(monkeypatch):
    import yaml

    from mmspec.cli.commands.search import command
    from mmspec.study.processes import PATIENCE_S

    job = yaml.safe_load((HOSTS / "kubernetes_job.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][:2] == ["mmspec", "search"]
    typed = command.make_context("search", container["command"][2:]).params
    assert typed["worker"] and typed["storage"].startswith("postgresql://")
    mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert any(typed["out"].startswith(path) for path in mounted)
    assert pod["terminationGracePeriodSeconds"] > PATIENCE_S
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
