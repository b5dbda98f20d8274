"""Trainings that begin with the trained weights of others: whose, which, and that a resumed search chooses as it would have."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from made import front
from safetensors.torch import load_file
from small_spec import small_spec
from tiny import STUDY, formula, heirs, study

import mmspec
from mmspec.components import CATALOGUE
from mmspec.errors import UserError
from mmspec.spec import read
from mmspec.spec.diagnostics import SpecError
from mmspec.study import page, read_study, search
from mmspec.study.base import open_base
from mmspec.study.caveats import caveats
from mmspec.study.inheritance import Heritage, Parent, nodes_of
from mmspec.study.jobs import Job
from mmspec.study.plan import plan
from mmspec.study.result import Trained
from mmspec.study.tables import as_csv

INHERIT = STUDY + "inherit: true\nsampler: random\n"
RUNGS = INHERIT.replace("trials: 8", "trials: 5").replace(
    "recipe: {steps: 2, batch: 4}", "recipe: {steps: 100, batch: 4}\nrungs: {steps: [10], keep: 0.3}"
)


def spec_of(*overrides, text=None):
    return read(text or small_spec("tiny", size=8), CATALOGUE, origin="tiny.yaml", overrides=overrides)


def same(one, other):
    ours, theirs = nodes_of(one), nodes_of(other)
    return {name for name, node in ours.items() if node.identity and theirs.get(name) == node}


def test_a_node_is_the_same_where_it_says_the_same_and_its_tensors_have_the_same_shapes():
    assert same(spec_of(), spec_of()) == {"image", "text", "joint", "label"}
    assert same(spec_of(), spec_of("encoders.image.dropout=0.1")) == {"text", "joint", "label"}
    narrower = spec_of("encoders.image.width=8")  # the fusion says the same, but has to read something else
    assert narrower.fusion == spec_of().fusion
    assert same(spec_of(), narrower) == {"text"}


def test_published_weights_and_averages_are_looked_at_too(tmp_path):
    loaded = small_spec("tiny", size=8) + "weights: {image: a.safetensors}\n"
    assert "image" not in same(spec_of(), spec_of(text=loaded))
    assert "image" in same(spec_of(text=loaded), spec_of(text=loaded))
    taught = mmspec.load("digits_dino")
    assert same(taught, taught) == {"image", "student"}  # what is taught and its head are averages, and the parts tied


def test_the_parameters_of_nodes_are_those_of_the_price():
    spec = mmspec.load("fusion_gated").require_closed()
    assert sum(node.parameters for node in nodes_of(spec).values()) == mmspec.profile(spec)["parameters.total"]


def heritage(tmp_path):
    made = study(tmp_path, INHERIT)
    return Heritage(plan(made, *open_base(made)))


def finished(found, number, accuracy, **params):
    candidate = found.planned.pricer(
        {f"encoders.image.{k}" if k != "fusion" else "fusion.joint.depth": v for k, v in params.items()}
    )
    values = {"accuracy": accuracy, "flops.total": candidate.figures["flops.total"]}
    folder = found.planned.study.path.parent / "out" / "trials" / f"{number:03d}"
    return Trained(number, candidate.params, candidate.digest, values, candidate.figures, {}, 1.0, folder), candidate


def test_the_parent_is_the_one_with_most_in_common_then_the_better_then_the_first(tmp_path):
    found = heritage(tmp_path)
    far, _ = finished(found, 0, 0.99, width=8, depth=1, fusion=1)
    near, _ = finished(found, 1, 0.5, width=32, depth=3, fusion=1)
    _, child = finished(found, 9, 0.0, width=32, depth=3, fusion=4)
    parent = found.parent(child, [far, near])
    assert parent.trial == 1 and set(parent.nodes) == {"image", "text", "label"} and parent.folder == "001"
    own = nodes_of(child.spec)
    assert parent.share == pytest.approx(1 - own["joint"].parameters / child.figures["parameters.total"])
    better, _ = finished(found, 2, 0.6, width=32, depth=3, fusion=2)
    equal, _ = finished(found, 3, 0.6, width=32, depth=3, fusion=3)
    assert found.parent(child, [near, equal, better]).trial == 2
    assert found.parent(child, []) is None


def test_generations_are_counted(tmp_path):
    found = heritage(tmp_path)
    one, child = finished(found, 0, 0.9, width=8, depth=1, fusion=1)
    assert found.parent(child, [one]).generation == 1
    assert found.parent(child, [replace(one, parent=Parent(7, "007", ("text",), 0.1, 4))]).generation == 5


def test_a_job_says_its_parent_as_plain_data_and_is_read_back(tmp_path):
    job = Job(4, {"a": 1}, "digest", tmp_path / "004", 7, parent=Parent(2, "002-abc", ("image", "text"), 0.5, 3))
    assert Job.read(json.loads(json.dumps(job.to_dict())), tmp_path / "004") == job
    assert job.parent.of(job.folder).weights == tmp_path / "002-abc" / "model.safetensors"


def told(front):
    return [(t.trial, t.digest, t.values, t.parent) for t in front.trained]


def test_a_resumed_search_inherits_as_an_uninterrupted_one_does(tmp_path):
    whole = search(study(tmp_path, RUNGS), tmp_path / "whole", evaluate=heirs)
    assert whole.trained[0].parent is None and len(whole.inherited) >= 3
    calls = []

    def cuts(*arguments, until=None, begin=None):
        calls.append(begin)
        if len(calls) in (3, 7):
            raise KeyboardInterrupt
        return heirs(*arguments, until=until, begin=begin)

    for _ in range(2):
        with pytest.raises(UserError, match="go on with"):
            search(study(tmp_path, RUNGS), tmp_path / "cut", evaluate=cuts, resume=True)
    assert any(calls)
    assert told(search(study(tmp_path, RUNGS), tmp_path / "cut", evaluate=heirs, resume=True)) == told(whole)


def test_workers_inherit_fresh_trainings_do_not_and_the_report_says_who_did(tmp_path):
    text = INHERIT.replace("trials: 8", "trials: 5") + "confirm: 1\n"
    found = search(study(tmp_path, text), tmp_path / "out", evaluate=heirs, workers=2)
    assert found.inherited
    for t in found.trained:
        assert (t.folder / "began").read_text().split() == list(t.parent.nodes if t.parent else ())
        assert t.parent is None or t.parent.trial < t.trial
    again = [path.read_text() for path in (tmp_path / "out" / "confirmed").glob("*/began")]
    assert again and not any(again)
    (said,) = [sentence for sentence in caveats(found) if "began with trained weights of earlier ones" in sentence]
    assert said.startswith(f"In the search {len(found.inherited)} of 5 networks") and "began from nothing" in said
    report = (tmp_path / "out" / "report.html").read_text()
    assert "began with" in report and "<th class=n>inherited</th>" in report
    rows = {int(row["trial"]): row for row in csv.DictReader((tmp_path / "out" / "front.csv").open())}
    data = json.loads((tmp_path / "out" / "front.json").read_text())
    records = {each["trial"]: each for each in (*data["front"], *data["dominated"])}
    for t in found.trained:
        trial, share, nodes = (t.parent.trial, t.parent.share, list(t.parent.nodes)) if t.parent else (None, 0.0, [])
        assert rows[t.trial]["parent"] == ("" if trial is None else str(trial))
        assert float(rows[t.trial]["inherited"]) == pytest.approx(share, abs=1e-4)
        record = records[t.trial]
        assert (record["parent"], record["inherited"], record["inherited_nodes"]) == (trial, share, nodes)


def test_of_a_study_that_does_not_inherit_nothing_is_said():
    made = front()
    assert not any("inherit" in sentence for sentence in caveats(made))
    assert "inherited" not in as_csv(made) and "inherited" not in page.render(made, page.Background(""))


def test_what_cannot_inherit_is_refused(tmp_path):
    with pytest.raises(UserError, match="needs an evaluate that takes `begin`"):
        search(study(tmp_path, INHERIT), tmp_path / "out", evaluate=formula)
    own = INHERIT.replace("recipe: {steps: 2, batch: 4}", "evaluate: {command: ['true']}")
    with pytest.raises(SpecError, match="inherit needs a recipe"):
        read_study(own)


@pytest.mark.slow
def test_real_trainings_begin_where_their_parents_ended(tmp_path):
    """With steps that change nothing, a child's inherited nodes are its parent's to the bit, and the others are not."""
    still = INHERIT.replace(
        "recipe: {steps: 2, batch: 4}", "recipe: {steps: 1, batch: 4, learning_rate: 1.0e-30, weight_decay: 0.0}"
    ).replace("trials: 8", "trials: 2")
    (tmp_path / "tiny.yaml").write_text(small_spec("tiny"))
    found = search(read_study(still + "confirm: 0\n", str(tmp_path / "study.yaml")), tmp_path / "out")
    folders = {t.trial: t.folder for t in found.trained}
    for t in found.trained[1:]:
        ours, theirs = (
            load_file(t.folder / "model.safetensors"),
            load_file(folders[t.parent.trial] / "model.safetensors"),
        )
        for name, tensor in ours.items():
            if name.partition(".")[0] in t.parent.nodes:
                torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-20)
        fresh = [
            name for name in ours if name.partition(".")[0] not in t.parent.nodes and name.endswith("query.weight")
        ]
        assert fresh and not any(name in theirs and torch.equal(ours[name], theirs[name]) for name in fresh)
