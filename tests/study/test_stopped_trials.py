"""What the sampler that knows costs learns of trainings that were stopped: an expected end, with doubt, and never a measured one."""

import json
import math

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from test_rungs import LADDER, Curves
from tiny import study

from mmspec.study import KnownCostSampler, search
from mmspec.study.known_cost.ends import expected_end
from mmspec.study.known_cost.history import read
from mmspec.study.storage import DATABASE
from mmspec.study.store import rungs_of


def test_where_every_curve_rises_alike_the_end_is_that_much_higher():
    at = np.array([0.3, 0.5, 0.4])
    ends, doubt = expected_end(at, np.zeros((3, 1)), at + 0.2, np.array([0.1, 0.35]), np.zeros((2, 1)))
    assert ends == pytest.approx([0.3, 0.55])
    assert 0 < doubt < 0.1


def test_many_pairs_teach_a_slope_and_that_the_dear_rise_more():
    generator = np.random.default_rng(0)
    at, costs = generator.random(60), generator.random((60, 1))
    noise = 0.02 * generator.standard_normal(60)
    ends, doubt = expected_end(
        at, costs, 0.5 * at + 0.3 * costs[:, 0] + noise, np.array([0.2, 0.2]), np.array([[0.0], [1.0]])
    )
    assert ends == pytest.approx([0.1, 0.4], abs=0.03)
    assert doubt == pytest.approx(0.02, abs=0.02)


def test_one_pair_says_how_far_it_is_and_is_doubted():
    ends, doubt = expected_end(
        np.array([0.4]), np.zeros((1, 1)), np.array([0.7]), np.array([0.3, 0.1]), np.zeros((2, 1))
    )
    assert ends == pytest.approx([0.6, 0.4])
    assert doubt > 0.05


SPACE = {name: FloatDistribution(0.0, 1.0) for name in "ab"}


def curved(sampler, trials, keep):
    """A study whose trainings come to a rung at half of what they reach; the worse, b < `keep`, are stopped there."""
    there = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for _ in range(trials):
        trial = there.ask()
        a, b = (trial.suggest_float(name, 0.0, 1.0) for name in "ab")
        end = 0.2 + 0.3 * a + 0.4 * b
        trial.set_user_attr("rung", [end / 2, 1 + a])
        there.tell(
            trial, [end, 1 + a] if b >= keep else None, state=TrialState.COMPLETE if b >= keep else TrialState.PRUNED
        )
    return there


def partial(trial):
    return {10: trial.user_attrs["rung"]} if "rung" in trial.user_attrs else {}


def test_a_stopped_trial_is_neither_refused_nor_a_point_of_the_front():
    sampler = KnownCostSampler(lambda p: {1: 1 + p["a"]}, space=SPACE, pool=300, partial=partial)
    there = curved(sampler, 14, keep=0.5)
    stopped = [t for t in there.trials if t.state == TrialState.PRUNED]
    history = read(there, there.ask()._get_latest_trial(), [-1, 1], partial)
    assert stopped
    assert [params for params, _ in history.stopped] == [t.params for t in stopped]
    assert not history.refused
    assert len(history.values) == 14 - len(stopped)
    assert [way[10].tolist() for way in history.ways] == [
        [-t.values[0] / 2, t.values[1]] for t in there.trials if t.state == TrialState.COMPLETE
    ]


def test_what_is_like_a_stopped_trial_is_believed_to_end_where_it_would_have():
    from mmspec.study.known_cost.model import Model

    sampler = KnownCostSampler(lambda p: {1: 1 + p["a"]}, space=SPACE, pool=300, partial=partial)
    there = curved(optuna.samplers.RandomSampler(seed=0), 30, keep=0.5)
    there.sampler = sampler
    asked = there.ask(SPACE)
    history = read(there, asked._get_latest_trial(), [-1, 1], partial)
    price = sampler._pool.price
    told = [price(params) for params in history.done], np.stack(history.values), [], []
    stopped = [(price(params), way) for params, way in history.stopped]
    worse = [c for c in sampler._pool.base(200) if c.point["b"] < 0.3]
    truth = np.array([-(0.2 + 0.3 * c.point["a"] + 0.4 * c.point["b"]) for c in worse])
    errors = []
    for ways, others in ((history.ways, stopped), ([], [])):
        mean, _ = Model([True, True], *told, ways, others).predict(worse)
        errors.append(math.sqrt(np.mean((mean[:, 0] - truth) ** 2)))
    assert errors[0] < 0.05
    assert errors[0] < errors[1]


def test_a_search_with_rungs_tells_the_sampler_what_was_reached(tmp_path):
    text = LADDER.replace("sampler: random", "sampler: known_cost")
    search(study(tmp_path, text), tmp_path / "out", evaluate=Curves())
    kept = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path / 'out' / DATABASE}")
    stopped = [t for t in kept.trials if json.loads(t.user_attrs.get("record", "{}")).get("kind") == "stopped"]
    assert stopped
    assert all([at.step for at in rungs_of(t)] in ([10], [10, 30]) for t in stopped)
    went_on = [rungs_of(t) for t in kept.trials if t.state == TrialState.COMPLETE]
    assert all([at.step for at in way] == [10, 30] for way in went_on if way)
