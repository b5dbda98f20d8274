"""Trainings on a local Ray: the same front, and what kills its process is tried twice and no more."""

import sys

import pytest
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
    small = STUDY.replace("[1, 2, 3, 4]", "[1]").replace("trials: 8", "trials: 50")
    (tmp_path / "alone").mkdir(), (tmp_path / "ray").mkdir()
    alone = search(study(tmp_path / "alone", small), tmp_path / "a", evaluate=formula)
    front = search(study(tmp_path / "ray", small), tmp_path / "b", evaluate=formula, workers=2, executor="ray")
    assert {t.digest for t in front.trained} == {t.digest for t in alone.trained}
    assert len(front.trained) == 12


@pytest.mark.slow
def test_a_spec_that_kills_two_processes_is_not_tried_again(cluster, tmp_path):
    heard = []
    front = search(study(tmp_path), tmp_path / "out", evaluate=deadly, workers=2, executor="ray", events=heard.append)
    assert len(front.trained) == 8
    failed = [event for event in heard if isinstance(event, say.Failed)]
    assert failed and all("its process ended (WorkerCrashedError)" in event.reason for event in failed)
    assert all(t.params["encoders.image.width"] != 32 for t in front.trained)


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
