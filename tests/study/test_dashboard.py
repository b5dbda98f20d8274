"""optuna-dashboard opens the storage of a finished study, and says of it what the search found."""

import json
from http import HTTPStatus
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard
import pytest
from tiny import STUDY, formula, study

from mmspec.study import search


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The front, and a function that asks the dashboard for a path."""
    folder = tmp_path_factory.mktemp("dashboard")
    front = search(study(folder, STUDY.replace("trials: 8", "trials: 3")), folder / "out", evaluate=formula)
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'out' / 'study.db'}")
    app = optuna_dashboard.wsgi(storage)

    def get(path):
        environment, answered = {"PATH_INFO": path}, []
        setup_testing_defaults(environment)
        body = b"".join(app(environment, lambda status, *_: answered.append(status)))
        assert answered == [f"{HTTPStatus.OK.value} OK"], body
        return body

    yield front, get
    storage.remove_session()


def test_it_lists_the_study_with_its_directions(opened):
    _, get = opened
    (listed,) = json.loads(get("/api/studies"))["study_summaries"]
    assert listed["study_name"] == "search"
    assert listed["directions"] == ["maximize", "minimize"]


def test_it_has_every_training_with_its_values_and_the_objectives_names(opened):
    front, get = opened
    (listed,) = json.loads(get("/api/studies"))["study_summaries"]
    detail = json.loads(get(f"/api/studies/{listed['study_id']}"))
    assert detail["objective_names"] == ["accuracy", "flops.total"]
    complete = [trial["values"] for trial in detail["trials"] if trial["state"] == "Complete"]
    assert complete == [[t.values["accuracy"], t.values["flops.total"]] for t in front.trained]


def test_its_own_front_is_ours(opened):
    front, get = opened
    (listed,) = json.loads(get("/api/studies"))["study_summaries"]
    best = json.loads(get(f"/api/studies/{listed['study_id']}"))["best_trials"]
    assert sorted(t["values"] for t in best) == sorted([m.values["accuracy"], m.values["flops.total"]] for m in front)


def test_its_page_opens(opened):
    assert b"<html" in opened[1]("/dashboard").lower()
