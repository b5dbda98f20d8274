"""A front that was trained again: means of fresh seeds, their intervals, and who is likely to be on it."""

import json
import math
import random

import pytest
from made import OBJECTIVES, trained
from tiny import STUDY, formula, study

from mmspec.errors import UserError
from mmspec.study import confirming, search
from mmspec.study import events as say
from mmspec.study.confirming import contenders, with_means
from mmspec.study.evaluation import Untrainable
from mmspec.study.result import Front

AGAIN = STUDY + "confirm: 3\n"


def front_of(points):
    found = [trained(i, accuracy, flops, {"depth": i}) for i, (accuracy, flops) in enumerate(points)]
    return Front("made", found[0].folder, OBJECTIVES, tuple(found), reference=(0.0, 100.0))


def means(front, runs):
    values = {
        trial: [{"accuracy": a, "flops.total": front.trained[trial].values["flops.total"]} for a in each]
        for trial, each in runs.items()
    }
    return with_means(front, values, {}, ["flops.total"])


def test_ranks_0_and_1_are_trained_again():
    front = front_of([(0.9, 10), (0.8, 5), (0.85, 10), (0.7, 6), (0.6, 7), (0.75, 5.5)])
    assert [t.trial for t in contenders(front)] == [0, 1, 2, 5]


def test_the_search_s_own_values_are_not_mixed_in_and_the_lucky_one_falls_back():
    front = front_of([(0.99, 10), (0.85, 10)])
    again = means(front, {0: [0.80, 0.81, 0.82], 1: [0.84, 0.85, 0.86]})
    assert [m.trial for m in again.members] == [1]
    lucky = again.trained[0]
    assert lucky.values["accuracy"] == pytest.approx(0.81)
    assert lucky.confirmed.searched["accuracy"] == 0.99
    assert lucky.confirmed.chance < 0.01


def test_the_interval_is_student_s_over_the_pooled_spread():
    runs = {0: [0.80, 0.82, 0.84], 1: [0.90, 0.90, 0.93]}
    again = means(front_of([(0.9, 10), (0.95, 20)]), runs)
    pooled = math.sqrt((0.02**2 * 2 + 0.01**2 * 2 + 0.02**2) / 4)
    half = 2.7764451 * pooled / math.sqrt(3)  # t at 0.975 with 4 degrees of freedom
    low, high = again.trained[0].interval
    assert (low, high) == pytest.approx((0.82 - half, 0.82 + half), rel=1e-6)


def test_nine_in_ten_intervals_and_more_hold_the_truth(monkeypatch):
    monkeypatch.setattr(confirming, "DRAWS", 1)  # chances are not asked for here
    draw, held = random.Random(1), []
    for _ in range(300):
        runs = {i: [0.8 + draw.gauss(0, 0.02) for _ in range(3)] for i in range(4)}
        again = means(front_of([(0.9, 10 + i) for i in range(4)]), runs)
        held += [t.interval[0] <= 0.8 <= t.interval[1] for t in again.trained]
    assert 0.93 <= sum(held) / len(held) <= 0.97


def test_two_that_cannot_be_told_apart_are_each_on_the_front_half_of_the_time():
    again = means(front_of([(0.9, 10), (0.9, 10)]), {0: [0.79, 0.80, 0.81], 1: [0.79, 0.80, 0.81]})
    assert [t.confirmed.chance for t in again.trained] == pytest.approx([0.5, 0.5], abs=0.05)


def test_one_fresh_training_has_a_mean_and_no_interval():
    again = means(front_of([(0.9, 10), (0.95, 20)]), {0: [0.8], 1: [0.85]})
    assert again.trained[0].confirmed.halves == {}
    assert again.trained[0].values["accuracy"] == 0.8


def test_a_whole_search_trains_its_front_again_with_seeds_of_its_own(tmp_path):
    heard, seeds = [], []

    def noted(spec, folder, seed, tick):
        seeds.append(seed)
        return formula(spec, folder, seed, tick)

    front = search(study(tmp_path, AGAIN), tmp_path / "out", evaluate=noted, events=heard.append)
    said = next(event for event in heard if isinstance(event, say.Confirming))
    assert said.trainings == 3 * said.specs == len(seeds) - 8
    assert len(set(seeds)) == len(seeds)
    assert all(member.confirmed.seeds == 3 for member in front.members)
    data = json.loads((tmp_path / "out" / "front.json").read_text())
    assert data["front"][0]["confirmed"]["non_dominated"] <= 1
    assert "trained again with 3 fresh seeds" in (tmp_path / "out" / "report.html").read_text()


def test_a_stop_while_the_front_is_trained_again_loses_none_of_it(tmp_path):
    begun = []

    def stops(spec, folder, seed, tick):
        begun.append(folder.name)
        if len(begun) == 8 + 4:
            raise KeyboardInterrupt
        return formula(spec, folder, seed, tick)

    with pytest.raises(UserError, match="8 of 8 trainings are finished"):
        search(study(tmp_path, AGAIN), tmp_path / "out", evaluate=stops)
    cut = begun[-1]
    front = search(study(tmp_path, AGAIN), tmp_path / "out", resume=True, evaluate=stops)
    whole = search(study(tmp_path, AGAIN), tmp_path / "other", evaluate=formula)
    assert [m.values for m in front.members] == [m.values for m in whole.members]
    assert all(begun.count(name) == 1 + (name == cut) for name in begun)


def test_a_fresh_training_that_fails_is_left_out_of_the_means(tmp_path):
    def sometimes(spec, folder, seed, tick):
        if folder.parent.name == "confirmed" and folder.name.endswith("-1"):
            raise Untrainable("diverged")
        return formula(spec, folder, seed, tick)

    front = search(study(tmp_path, AGAIN), tmp_path / "out", evaluate=sometimes)
    assert all(member.confirmed.seeds == 2 for member in front.members)
