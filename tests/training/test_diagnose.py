"""Each section of a diagnosis answers its question rightly where the answer is known, or says why it does not apply."""

import json
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
import torch

from mmspec.backend.runtime import Confidence, Stages
from mmspec.errors import UserError
from mmspec.training import Recipe, diagnose, train
from mmspec.training.diagnostics import SECTIONS, Subject, gates, routes
from mmspec.training.diagnostics.exits import measure_best
from mmspec.training.diagnostics.reliability import curve
from mmspec.training.diagnostics.routing import measure_dropped, measure_loads, specialised
from mmspec.training.journeys import Journeys
from mmspec.training.loads import loads
from mmspec.training.trained import open_trained

RECIPE = Recipe(steps=6, batch=16, learning_rate=3e-3)
EVERYTHING = (
    "fusion.joint={type: transformer, from: [image, text], depth: 2, heads: 2}",
    "fusion.joint.router={type: switch, experts: 3, capacity: 5}",
    "fusion.joint.halting={type: confidence, threshold: 0.15, head: label}",
)
ones = torch.ones


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Trained folders by name, made once."""
    made = {}

    def folder(name, spec):
        if name not in made:
            made[name] = train(spec, RECIPE, tmp_path_factory.mktemp(name) / "run").folder
        return made[name]

    return folder


@pytest.fixture
def everything(folders, tiny):
    return Subject(open_trained(folders("everything", tiny(*EVERYTHING))), "validation")


@pytest.fixture
def gated(folders, tiny):
    return Subject(open_trained(folders("gated", tiny())), "validation")


# figures of which the answer is known --------------------------------------------------------------------------------


def test_a_head_that_is_right_as_often_as_it_says_has_no_calibration_error():
    sure = torch.tensor([0.75] * 4 + [0.55] * 20, dtype=torch.float64)
    right = torch.tensor([True] * 3 + [False] + [True] * 11 + [False] * 9)
    assert curve(sure, right, ones(24))["ece"] == pytest.approx(0)


def test_the_calibration_error_is_the_mean_distance_weighted_by_samples():
    sure = torch.tensor([0.95] * 3 + [0.35], dtype=torch.float64)
    row = curve(sure, torch.tensor([True, False, False, True]), ones(4))
    assert row["ece"] == pytest.approx(0.75 * abs(1 / 3 - 0.95) + 0.25 * abs(1 - 0.35))
    assert [b["share"] for b in row["bins"]] == [0.25, 0.75]


def test_an_expert_of_one_kind_has_no_entropy_and_says_everything():
    alone, mixed = specialised(torch.eye(3).double() * 5), specialised(ones(3, 3).double())
    assert alone["entropy"] == pytest.approx([0, 0, 0]) and alone["information"] == pytest.approx(1)
    assert mixed["entropy"] == pytest.approx([1, 1, 1]) and mixed["information"] == pytest.approx(0)
    assert specialised(torch.tensor([[1.0, 2.0]]).double())["entropy"] is None
    assert specialised(torch.tensor([[1.0, 0.0], [1.0, 0.0]]).double())["entropy"] == [1.0, None]


def test_exits_are_sorted_into_best_late_early_past_and_never():
    right = torch.tensor([[1, 1, 0, 1, 0], [1, 1, 1, 0, 0]])
    scores = torch.tensor([[0.9, 0.1, 0.9, 0.1, 0.1], [0.5] * 5])
    walked = Journeys(scores[:1], scores.double(), right, ones(5, dtype=torch.int64), ones(5, dtype=torch.float64))
    stages = Stages([torch.nn.Identity(), torch.nn.Identity()], Confidence(), 0.5)
    (row,) = measure_best(SimpleNamespace(stacks={"joint": (stages, None)}, journeys={"joint": walked})).values()
    assert {name: row[name] for name in ("best", "late", "early", "past", "never")} == dict.fromkeys(
        ("best", "late", "early", "past", "never"), pytest.approx(0.2)
    )
    assert row["earliest_right"] == pytest.approx([0.6, 0.2])


def test_a_gate_that_is_pushed_open_is_said_to_be_open(gated):
    layer = gated.module.joint.blocks[0].gate
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.fill_(20.0)
    row = gates.measure(gated)["joint.blocks.0.gate"]
    assert row["open"] == pytest.approx(1) and row["shut"] == 0 and row["mean"] == pytest.approx(1)
    assert row["histogram"][-1] == pytest.approx(1)


# a whole model -------------------------------------------------------------------------------------------------------


def test_loads_by_modality_add_up_to_the_layer_s(everything):
    for name, row in measure_loads(everything).items():
        route = everything.routes[name]
        assert set(row["by_modality"]) == {"image", "text"}
        assert sum(row["load"]) == pytest.approx(1)
        together = sum(route.by_modality.values())
        assert torch.equal(together, route.by_class.sum(dim=0)) and torch.equal(together, route.by_group.sum(dim=0))
        assert row["imbalance"] == pytest.approx(3 * max(row["load"]))


def test_dropped_tokens_are_those_above_the_capacity(everything):
    """Of three experts with five places each, fifteen tokens of a sequence find room at most."""
    for name, row in measure_dropped(everything).items():
        route = everything.routes[name]
        assert 0 < row["dropped"] < 1
        assert row["dropped"] == pytest.approx(float(route.by_class[:, -1].sum() / route.by_class.sum()))


def test_training_stores_what_each_expert_got(everything):
    stored = everything.trained.metrics["validation"]["experts"]
    assert set(stored) == {f"joint.blocks.{block}.feed_forward.experts" for block in range(2)}
    for row in stored.values():
        assert sum(row["load"]) + row["dropped"] == pytest.approx(1)
    assert stored == loads(everything.module, everything.trained.data, "validation", 256)


def test_a_detour_changes_one_token_s_last_expert_and_nothing_else(gated):
    layer = gated.module.joint.blocks[0].feed_forward.experts
    x, before = torch.randn(4, 6, 16), torch.rand(4, 6, 3).argsort(dim=-1)[..., :2]
    seen = set()
    for number in range(3 - before.shape[-1]):
        after, same = routes._Detour(torch.tensor([0.0, 0.3, 0.5, 0.99]), number)(layer, (before, x))
        assert (before != after).nonzero().tolist() == [[0, 0, 1], [1, 1, 1], [2, 3, 1], [3, 5, 1]] and same is x
        seen.add(int(after[0, 0, 1]))
    assert seen == {0, 1, 2} - set(before[0, 0].tolist())


def test_every_section_has_figures_or_a_reason_and_the_page_needs_nothing_else(folders, everything, tmp_path):
    done = diagnose(everything.trained.folder, out=tmp_path / "seen")
    sections = done.report["sections"]
    assert set(sections) == {section.name for section in SECTIONS}
    assert all((row["figures"] is None) == bool(row["why"]) for row in sections.values())
    assert [name for name, row in sections.items() if row["why"]] == ["gates"]
    assert json.loads((tmp_path / "seen/diagnosis.json").read_text()) == done.report
    assert 0 <= sections["best_route"]["figures"]["joint.blocks.0.feed_forward.experts"]["best"] <= 1
    page = (tmp_path / "seen/diagnosis.html").read_text()
    assert "http" not in page and "<script" not in page
    for section in SECTIONS:
        assert section.title in page
    Closed().feed(page)
    assert done.report["model"]["mean_flops"] <= done.report["model"]["flops"]


class Closed(HTMLParser):
    """Fails where a figure or a drawing is left open."""

    def handle_starttag(self, tag, attrs):
        self.depth = (
            [*getattr(self, "depth", []), tag]
            if tag in ("svg", "figure", "table", "div")
            else getattr(self, "depth", [])
        )

    def handle_endtag(self, tag):
        if tag in ("svg", "figure", "table", "div"):
            assert self.depth.pop() == tag


def test_looking_leaves_the_model_as_it_was(everything):
    stages = everything.module.joint.blocks
    before = stages.thresholds.clone()
    for section in SECTIONS:
        section.measure(everything)
    assert torch.equal(stages.thresholds, before)
    assert "ask" not in vars(stages)
    assert all(not child._forward_pre_hooks and not child._forward_hooks for child in everything.module.modules())


def test_a_model_without_exits_and_experts_is_told_why(tiny, tmp_path):
    spec = tiny("fusion.joint={type: concat, from: [image, text], depth: 1}")
    folder = train(spec, RECIPE.model_copy(update={"steps": 1}), tmp_path / "run").folder
    sections = diagnose(folder).report["sections"]
    whys = {name: row["why"] for name, row in sections.items() if row["why"]}
    assert "may be left early" in whys["exits"] and "experts" in whys["expert_load"] and "gated" in whys["gates"]
    assert list(sections["reliability"]["figures"]) == ["label"]
    assert (folder / "diagnosis.html").is_file()


def test_a_folder_that_nobody_trained_cannot_be_looked_into(tmp_path):
    with pytest.raises(UserError, match="is this the folder of a trained model"):
        diagnose(tmp_path)
