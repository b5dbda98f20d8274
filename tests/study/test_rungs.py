"""Trainings that stop on the way: who goes on, what that costs, what is remembered."""

import contextlib
import json
import math
import random

import optuna
import pytest
from curves import CHAINS, LADDER, RUNGS, STEPS, Curves, noted_curves, parts
from tiny import formula, study

from mmspec.errors import UserError
from mmspec.spec.diagnostics import SpecError
from mmspec.study import events as say
from mmspec.study import read_study, search
from mmspec.study.file import Rungs
from mmspec.study.result import Objective
from mmspec.study.rungs import Ladder, Reached, crowding, kendall, ordered, ranks

OBJECTIVES = (Objective("accuracy", True), Objective("flops.total", False))


def ladder(keep=0.5, trust=0.3, steps=(10,)):
    return Ladder(Rungs(steps=list(steps), keep=keep, trust=trust), OBJECTIVES, ("flops.total",))


def came(rungs, number, accuracy, flops, step=10):
    values = {"accuracy": accuracy, "flops.total": flops}
    rungs.note(number, [Reached(step, values, 1.0)])
    return rungs.goes_on(number, step)


def test_ranks_are_fronts_of_what_is_left_and_equals_share_one():
    points = [(0, 4), (1, 1), (4, 0), (2, 2), (1, 1), (5, 5), (2, 3)]
    assert ranks(points) == [0, 0, 0, 1, 0, 3, 2]


def test_within_a_rank_the_ends_stand_before_the_lonely_before_the_crowded():
    points = [(0, 10), (1, 8), (2, 7), (6, 2), (10, 0)]
    assert crowding(points)[0] == crowding(points)[4] == math.inf
    assert crowding(points)[1] == pytest.approx(2 / 10 + 3 / 10)
    assert ordered(points) == [0, 4, 3, 2, 1]


def test_the_front_of_a_rung_goes_on_however_many_they_are():
    rungs = ladder(keep=0.01)
    assert all(came(rungs, n, 0.1 * n, 100 * n) for n in range(1, 9))


def test_the_most_expensive_goes_on_although_it_is_behind():
    rungs = ladder(keep=0.01)
    assert came(rungs, 0, 0.9, 100)
    assert came(rungs, 1, 0.5, 200)
    assert came(rungs, 2, 0.5, 300)
    assert not came(rungs, 3, 0.5, 250)


def test_a_spec_is_compared_with_those_of_like_cost():
    rungs = ladder(keep=0.5)
    for number in range(12):  # the small learn quickly
        came(rungs, number, 0.9 - number / 100, 1.0 + number / 100)
    for number in range(12, 24):  # the large are all behind every small one
        came(rungs, number, 0.30 + number / 1000, 100.0 + number)
    assert came(rungs, 24, 0.5, 118.5)  # the best of its cost, not the most expensive, dominated by all the small
    assert not came(rungs, 25, 0.2, 117.5)


def test_of_the_dominated_the_stated_share_goes_on():
    rungs = ladder(keep=0.5)
    came(rungs, 0, 0.9, 1.0)
    came(rungs, 1, 0.1, 1000.0)
    going = [came(rungs, n, 0.8 - n / 100, 10.0 + n) for n in range(2, 40)]  # each worse and dearer than the one before
    assert sum(going) <= 2
    better = [
        came(rungs, 100 + n, 0.8 + n / 1000, 10.0 - n / 100) for n in range(20)
    ]  # each better than all but the best
    assert all(better)


def test_tau_counts_pairs_in_order_ties_allowed_for():
    assert kendall([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx((5 - 1) / 6)
    assert kendall([1, 1, 2, 3], [1, 2, 3, 3]) == pytest.approx(
        4 / (5 * 5) ** 0.5
    )  # six pairs, one tied on either side
    assert kendall([1, 1, 1], [1, 2, 3]) is None


def test_a_rung_that_does_not_predict_is_left_out_and_one_that_does_is_not():
    generator = random.Random(1)
    rungs = ladder(steps=(10, 30))
    for number in range(12):
        end = generator.random()
        came(rungs, number, generator.random(), 1.0, step=10)
        came(rungs, number, end + 0.01 * generator.random(), 1.0, step=30)
        assert rungs.after(0) == 10 if number < 8 else True
        rungs.finished[number] = {"accuracy": end, "flops.total": 1.0}
    first, second = rungs.reports()
    assert not first.trusted
    assert second.trusted
    assert second.correlation > 0.8
    assert rungs.after(0) == 30
    assert rungs.after(30) is None


def test_more_specs_are_seen_with_the_same_steps_and_none_that_was_stopped_counts_as_trained(tmp_path):
    with_rungs, without = Curves(), Curves()
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    heard = []
    front = search(study(tmp_path / "a", LADDER), tmp_path / "a/out", evaluate=with_rungs, events=heard.append)
    search(study(tmp_path / "b", LADDER.replace(RUNGS, "")), tmp_path / "b/out", evaluate=without)
    assert without.steps == 8 * STEPS
    assert with_rungs.steps <= 8 * STEPS
    stopped = [event for event in heard if isinstance(event, say.Rung) and not event.goes_on]
    assert stopped
    assert len(front.trained) + len(stopped) > 8
    assert {t.trial for t in front.trained}.isdisjoint(event.trial for event in stopped)
    assert sum(report.stopped for report in front.rungs) == len(stopped)
    assert [report.step for report in front.rungs] == [10, 30]
    assert front.rungs[0].reached == len(front.trained) + len(stopped)


def test_each_training_goes_on_where_it_was(tmp_path):
    search(study(tmp_path, LADDER), tmp_path / "out", evaluate=noted_curves)
    assert all(chain in CHAINS for chain in parts(tmp_path)[0].values())


@pytest.mark.parametrize("cut", [2, 9, 15])
def test_a_search_that_was_cut_anywhere_goes_on_as_if_it_had_not_been(tmp_path, cut):
    whole = search(study(tmp_path, LADDER), tmp_path / "whole", evaluate=Curves())

    class Cut(Curves):
        def __call__(self, *arguments, **until):
            found = super().__call__(*arguments, **until)
            if len(self.calls) == cut:
                raise KeyboardInterrupt
            return found

    with contextlib.suppress(UserError):
        search(study(tmp_path, LADDER), tmp_path / "cut", evaluate=Cut())
    again = search(study(tmp_path, LADDER), tmp_path / "cut", evaluate=Curves(), resume=True)
    assert [(t.trial, t.digest, t.values) for t in again.trained] == [
        (t.trial, t.digest, t.values) for t in whole.trained
    ]
    assert again.rungs == whole.rungs


def test_workers_stop_at_rungs_too(tmp_path):
    front = search(study(tmp_path, LADDER), tmp_path / "out", evaluate=noted_curves, workers=2)
    assert sum(report.stopped for report in front.rungs) > 0
    whole = len(front.trained) + sum(report.stopped * report.step / STEPS for report in front.rungs)
    assert whole <= 8


def test_a_stopped_trial_is_pruned_for_optuna_with_what_it_had_reached(tmp_path):
    front = search(study(tmp_path, LADDER), tmp_path / "out", evaluate=Curves())
    loaded = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path / 'out' / 'study.db'}")
    stopped = [t for t in loaded.trials if json.loads(t.user_attrs.get("record", "{}")).get("kind") == "stopped"]
    assert len(stopped) == sum(report.stopped for report in front.rungs)
    assert all(t.state.name == "PRUNED" and t.values is None for t in stopped)
    assert all(0 < json.loads(t.user_attrs["record"])["values"]["accuracy"] < 1 for t in stopped)


@pytest.mark.parametrize(
    ("rungs", "message"),
    [
        ("[30, 10]", "rise from each to the next"),
        ("[10, 200]", "not before the end"),
        ("[0]", "greater than 0"),
        ("{steps: [10], keep: 1.5}", "less than 1"),
    ],
)
def test_rungs_that_are_none_are_refused(rungs, message):
    with pytest.raises(SpecError, match=message):
        read_study(LADDER.replace(RUNGS, f"rungs: {rungs}"))


def test_the_end_may_be_written_as_the_last_rung():
    assert read_study(LADDER.replace("[10, 30]", "[10, 30, 100]")).ladder.steps == [10, 30]
    assert read_study(LADDER.replace("[10, 30]", "[100]")).ladder is None


def test_what_evaluates_must_know_of_rungs(tmp_path):
    with pytest.raises(UserError, match="takes `until`"):
        search(study(tmp_path, LADDER), tmp_path / "out", evaluate=formula)
