"""Thresholds are chosen for what is asked, on validation alone, and whoever reads the folder afterwards has them."""

import json
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mmspec
from mmspec.backend import read_folder, read_serving
from mmspec.cost import measured
from mmspec.errors import UserError
from mmspec.spec import SpecError
from mmspec.training import Goal, Recipe, calibrate, train
from mmspec.training.journeys import Journeys
from mmspec.training.thresholds import NEVER, Search, Stack
from mmspec.training.trained import open_trained

RECIPE = Recipe(steps=30, batch=32, learning_rate=3e-3)


def journeys_of(scores, right):
    """Of examples whose truth is 1 and that count alike."""
    scores = torch.as_tensor(scores, dtype=torch.float32)
    answers = torch.as_tensor(right).long()
    n = scores.shape[1]
    return Journeys(
        scores[:-1], scores.double(), answers, torch.ones(n, dtype=torch.int64), torch.ones(n, dtype=torch.float64)
    )


def drawn(seed, exits=3, n=200):
    """Heads that are the surer the more often they are right, and more often right the later they come."""
    g = torch.Generator().manual_seed(seed)
    scores = torch.rand(exits, n, generator=g)
    chance = 0.3 + 0.4 * scores + 0.3 * torch.arange(exits)[:, None] / exits
    return Search(
        {
            "joint": Stack(
                journeys_of(scores, torch.rand(exits, n, generator=g) < chance),
                torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64),
            )
        },
        1.0,
    )


# the search ----------------------------------------------------------------------------------------------------------


def test_an_example_leaves_after_the_first_block_whose_score_is_above_its_threshold():
    walked = journeys_of([[0.9, 0.5, 0.5, 0.2], [0.1, 0.9, 0.8, 0.2], [0.9, 0.9, 0.9, 0.9]], torch.ones(3, 4))
    assert walked.exits([0.5, 0.8]).tolist() == [0, 1, 2, 2], "what is equal to a threshold goes on"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.55, 0.7, 0.9])
def test_a_wanted_cost_is_kept_and_no_shared_threshold_does_better(seed, share):
    search, goal = drawn(seed), Goal("cost", share)
    found, shared = search.best(goal), search.shared(goal)
    assert found.cost <= share
    assert found.accuracy >= shared.accuracy


@pytest.mark.parametrize("seed", range(4))
def test_a_wanted_accuracy_is_reached_at_the_least_cost_that_was_found(seed):
    search = drawn(seed)
    full = search.everywhere(NEVER)
    goal = Goal("loss", 0.03)
    found, shared = search.best(goal), search.shared(goal)
    assert found.accuracy >= full.accuracy - 0.03 - 1e-9
    assert found.cost <= shared.cost < full.cost
    assert search.best(Goal("accuracy", found.accuracy)).cost <= found.cost


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_with_one_exit_the_search_finds_what_trying_every_threshold_finds(seed):
    g = torch.Generator().manual_seed(seed)
    scores, right = torch.rand(2, 12, generator=g), torch.rand(2, 12, generator=g) < 0.6
    search = Search({"joint": Stack(journeys_of(scores, right), torch.tensor([1.0, 2.0], dtype=torch.float64))}, 0.0)
    ordered = sorted(scores[0].tolist())
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(ordered)), NEVER]
    for goal in (Goal("cost", 0.8), Goal("loss", 0.1)):
        every = [search.key(goal, search.everywhere(round(edge, 6))) for edge in edges]
        assert search.key(goal, search.best(goal)) == min(every)


def test_each_exit_gets_the_threshold_that_its_own_head_deserves():
    """The first head is sure of everything and often wrong, the second honest: no shared threshold separates these."""
    first = torch.tensor([0.99] * 10 + [0.995] * 10)
    second = torch.tensor([0.6] * 10 + [0.5] * 10)
    right = torch.tensor([[False] * 10 + [True] * 10, [True] * 20, [True] * 20])
    walked = journeys_of(torch.stack([first, second, torch.ones(20)]), right)
    search = Search({"joint": Stack(walked, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))}, 0.0)
    goal = Goal("loss", 0.0)
    found, shared = search.best(goal), search.shared(goal)
    assert found.accuracy == 1.0
    assert found.cost == pytest.approx((10 * 1 + 10 * 2) / 60)
    assert shared.cost > found.cost
    low, high = found.levels["joint"]
    assert 0.99 < low < 0.995 and high < 0.6


# the folder ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained folder, made by the first test that wants it."""
    made = {}

    def folder(spec):
        if not made:
            made["folder"] = train(spec, RECIPE, tmp_path_factory.mktemp("trained") / "run").folder
        return made["folder"]

    return folder


@pytest.fixture
def three(tiny):
    return tiny("fusion.joint.depth=3", "fusion.joint.dropout=0")


def test_the_folder_has_the_thresholds_and_what_they_do_is_measured(trained, three, tmp_path):
    folder = trained(three)
    done = calibrate(folder, Goal("cost", 0.8), out=tmp_path / "out")
    spec, module = read_folder(tmp_path / "out")
    levels = spec.fusion["joint"].halting.threshold
    assert len(levels) == 2
    assert module.joint.blocks.thresholds.tolist() == pytest.approx(levels)
    assert read_serving(tmp_path / "out").joint.blocks.thresholds.tolist() == pytest.approx(levels)
    price = mmspec.profile(spec, measured=measured(tmp_path / "out"))
    assert price["flops.expected"] / price["flops.total"] == pytest.approx(done.summary["after"]["cost"])
    assert done.summary["after"]["cost"] <= 0.8 + 1e-6
    assert json.loads((tmp_path / "out" / "profile.json").read_text())["flops"]["expected"] == price["flops.expected"]
    rows = done.metrics["validation"]["exits"]["joint"]
    together = sum(row["share"] * row["accuracy"] for row in rows if row["share"])
    assert together == pytest.approx(done.metrics["validation"]["accuracy"])


def test_weights_and_data_stay_and_the_test_split_is_left_alone(trained, three, tmp_path, monkeypatch):
    folder = trained(three)
    asked = set()
    opened = open_trained(folder)
    batches = type(opened.data).evaluation_batches

    def noted(self, split, size):
        asked.add(split)
        return batches(self, split, size)

    monkeypatch.setattr(type(opened.data), "evaluation_batches", noted)
    done = calibrate(folder, Goal("loss", 0.05), out=tmp_path / "out")
    assert asked == {"validation"}
    assert (tmp_path / "out/model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert {p.name for p in (tmp_path / "out/data").iterdir()} == {p.name for p in (folder / "data").iterdir()}
    assert done.metrics["test"] is None
    assert done.summary["before"]["test"] == json.loads((folder / "metrics.json").read_text())["test"]


def test_a_folder_may_be_calibrated_in_its_place_and_again(trained, three, tmp_path):
    first = calibrate(trained(three), Goal("cost", 0.9), out=tmp_path / "out")
    again = calibrate(tmp_path / "out", Goal("cost", 0.9))
    assert again.folder == tmp_path / "out"
    assert again.summary["before"]["cost"] == pytest.approx(first.summary["after"]["cost"])
    assert again.summary["after"] == first.summary["after"]
    assert len(again.metrics["notes"]) == len(set(again.metrics["notes"]))


@pytest.mark.parametrize(
    ("goal", "message"),
    [
        (
            Goal("cost", 0.01),
            r"first exit, the mean cost is still 0\.\d+ of the full model's .*least that can be asked for is 0\.",
        ),
        (
            Goal("accuracy", 1.0),
            r"the best thresholds give 0\.\d+ on validation at 0\.\d+ of the full cost, and the full model 0",
        ),
        (Goal("cost", 60), "share of the full cost, from 0 to 1, not 60"),
    ],
)
def test_what_cannot_be_reached_is_refused_with_what_can(trained, three, tmp_path, goal, message):
    with pytest.raises(UserError, match=message):
        calibrate(trained(three), goal, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_halt_has_no_thresholds(tiny, tmp_path):
    spec = tiny("fusion.joint.halting=none")
    train(spec, RECIPE.model_copy(update={"steps": 1}), tmp_path / "run")
    with pytest.raises(UserError, match=r"nothing in .* may leave early"):
        calibrate(tmp_path / "run", Goal("cost", 0.5))


def test_a_folder_that_nobody_trained_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is this the folder of a trained model"):
        calibrate(tmp_path / "empty", Goal("cost", 0.5))


def test_a_list_must_have_a_threshold_for_each_exit_but_the_last(tiny):
    with pytest.raises(SpecError, match="3 thresholds for 2 exits before the last") as caught:
        mmspec.lower(tiny("fusion.joint.depth=3", "fusion.joint.halting.threshold=[0.5, 0.6, 0.7]"))
    assert "--set:1:" in str(caught.value)


def test_forcing_an_exit_and_letting_go_gives_back_each_threshold(tiny):
    stages = mmspec.build(tiny("fusion.joint.depth=3", "fusion.joint.halting.threshold=[0.5, 0.75]")).joint.blocks
    stages.force(1)
    assert stages.thresholds.tolist() == [torch.inf, -torch.inf]
    stages.force(None)
    assert stages.thresholds.tolist() == [0.5, 0.75]


def test_a_search_over_two_stacks_adds_their_costs_and_averages_their_accuracies():
    one, two = drawn(1), drawn(2)
    both = Search({"a": one.stacks["joint"], "b": two.stacks["joint"]}, 2.0, others=(0.5,))
    a, b, found = one.everywhere(0.6), two.everywhere(0.6), both.everywhere(0.6)
    assert found.accuracy == pytest.approx((a.accuracy + b.accuracy + 0.5) / 3)
    assert found.cost * both.full == pytest.approx(a.cost * one.full + b.cost * two.full)
    goal = Goal("cost", 0.7)
    assert both.best(goal).cost <= 0.7


@pytest.mark.parametrize(
    ("policy", "threshold"),
    [
        ("{type: entropy, threshold: 0.1, head: label}", lambda level: 0 <= level <= math.log(12) + 1e-6),
        ("{type: improvement, threshold: 0.01, head: label}", lambda level: level >= 0),
        ("{type: ponder, threshold: 0.9, head: label}", lambda level: 0 < level < 1),
    ],
    ids=["entropy", "improvement", "ponder"],
)
def test_every_policy_with_thresholds_is_calibrated_on_its_own_scale(tiny, tmp_path, policy, threshold):
    """What is measured of the written folder is what the search said of its thresholds."""
    folder = tmp_path / "model"
    train(tiny("fusion.joint.depth=3", f"fusion.joint.halting={policy}"), RECIPE, folder)
    found = calibrate(folder, Goal("cost", 0.8), out=tmp_path / "calibrated").summary
    assert found["after"]["cost"] <= 0.8 + 1e-6
    levels = mmspec.load(tmp_path / "calibrated" / "spec.yaml").fusion["joint"].halting.threshold
    assert len(levels) == 2 and all(map(threshold, levels))
