"""Trainings on a local Ray: the same front, and what kills its process is tried twice and no more."""

import sys

import pytest
from curves import LADDER, noted_curves, parts
from tiny import STUDY, deadly, formula, study

from mmspec.errors import UserError
from mmspec.study import events as say
from mmspec.study import search


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray", reason="needs Ray: pip install 'mmspec[ray]'")
    here = {"env_vars": {"PYTHONPATH": ":".join(sys.path)}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR", runtime_env=here)
    yield ray
    ray.shutdown()


@pytest.mark.slow
def test_ray_trains_what_one_process_trains(cluster, tmp_path):
    (tmp_path / "alone").mkdir(), (tmp_path / "ray").mkdir()
    alone = search(study(tmp_path / "alone", LADDER), tmp_path / "alone" / "out", evaluate=noted_curves)
    front = search(study(tmp_path / "ray", LADDER), tmp_path / "ray" / "out", evaluate=noted_curves, executor="ray")
    assert [(t.trial, t.digest, t.values) for t in front.trained] == [
        (t.trial, t.digest, t.values) for t in alone.trained
    ]
    assert front.rungs == alone.rungs and sum(rung.stopped for rung in front.rungs) > 0
    assert parts(tmp_path / "ray")[0] == parts(tmp_path / "alone")[0]


@pytest.mark.slow
def test_a_spec_that_kills_two_processes_is_not_tried_again(cluster, tmp_path):
    three = STUDY.replace("[8, 16, 24, 32]", "[8, 16, 32]").replace("[1, 2, 3]", "[1]").replace("[1, 2, 3, 4]", "[1]")
    heard = []
    events = heard.append
    front = search(study(tmp_path, three), tmp_path / "out", evaluate=deadly, workers=2, executor="ray", events=events)
    assert sorted(t.params["encoders.image.width"] for t in front.trained) == [8, 16]
    (failed,) = [event for event in heard if isinstance(event, say.Failed)]
    assert "its process ended (WorkerCrashedError)" in failed.reason


@pytest.mark.slow
def test_what_would_stop_every_training_stops_the_search(cluster, tmp_path):
    with pytest.raises(UserError, match="no such data here"):
        search(study(tmp_path), tmp_path / "out", evaluate=lost, workers=2, executor="ray")


def lost(*_):
    raise UserError("no such data here")


def test_without_ray_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"needs Ray; install it with: pip install 'mmspec\[ray\]'"):
        search(study(tmp_path), tmp_path / "out", evaluate=formula, executor="ray")
