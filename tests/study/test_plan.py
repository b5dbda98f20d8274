"""What is known before anything is trained: mistakes, prices, first points."""

import pytest
from tiny import BASE, STUDY, study

from mmspec import shipped
from mmspec.spec.diagnostics import SpecError
from mmspec.study.base import open_base
from mmspec.study.candidate import digest
from mmspec.study.file import load_study
from mmspec.study.plan import plan, unseen


def planned(folder, text=STUDY, base=BASE):
    made = study(folder, text, base)
    return plan(made, *open_base(made))


def problem(folder, text=STUDY, base=BASE):
    with pytest.raises(SpecError) as caught:
        planned(folder, text, base)
    (found,) = caught.value.diagnostics
    return found


def test_the_first_points_are_the_base_itself_and_the_two_ends_of_the_cost_axis(tmp_path):
    found = planned(tmp_path)
    keys = ("encoders.image.width", "encoders.image.depth", "fusion.joint.depth")
    assert [tuple(point[k] for k in keys) for point in found.first[:3]] == [(16, 1, 1), (8, 1, 1), (32, 3, 4)]
    costs = [c.figures["flops.total"] for c in found.all]
    assert [found.pricer(p).figures["flops.total"] for p in found.first[1:3]] == [min(costs), max(costs)]


def test_the_next_points_are_spread_over_the_cost_axis_in_even_factors(tmp_path):
    found = planned(tmp_path, STUDY.replace("trials: 8", "trials: 12"))
    costs = [found.pricer(p).figures["flops.total"] for p in found.first]
    low, high = min(costs), max(costs)
    for i in (1, 2, 3):
        wanted = low * (high / low) ** (i / 4)
        assert min(abs(cost / wanted - 1) for cost in costs) < 0.05


def test_the_reference_is_no_accuracy_at_the_largest_cost_that_may_be(tmp_path):
    found = planned(tmp_path)
    assert found.reference == (0.0, max(c.figures["flops.total"] for c in found.all))
    assert planned(tmp_path, STUDY + "reference: {accuracy: 0.42, flops: 1e6}\n").reference == (
        0.42,
        1e6,
    )  # aliases too


def test_the_ends_keep_the_limits(tmp_path):
    free = planned(tmp_path)
    bound = sorted(c.figures["parameters.total"] for c in free.all)[10]
    found = planned(tmp_path, STUDY + f'limits: ["parameters <= {bound}"]\n')
    assert sum(c.feasible for c in found.all) == 11
    top = max((c for c in found.all if c.feasible), key=lambda c: c.figures["flops.total"])
    assert dict(top.params) in found.first


def test_in_a_space_that_is_too_large_to_price_whole_the_ends_are_found_by_walking(tmp_path):
    wide = STUDY.replace("{choice: [8, 16, 24, 32]}", "{int: [8, 256], step: 2}")
    wide = wide.replace("fusion.joint.depth: {choice: [1, 2, 3, 4]}", "fusion.joint.depth: {int: [1, 40]}")
    found = planned(tmp_path, wide)
    assert found.all == ()
    assert found.first[1]["encoders.image.width"] == 8
    assert found.first[1]["fusion.joint.depth"] == 1
    assert found.first[2]["encoders.image.width"] == 256
    assert found.first[2]["fusion.joint.depth"] == 40


def test_a_spec_that_does_not_compile_is_infeasible_with_its_reason(tmp_path):
    odd = planned(tmp_path, STUDY.replace("[8, 16, 24, 32]", "[8, 16, 24, 32, 33]").replace("encoders.image.depth: {choice: [1, 2, 3]}",
                                          "encoders.image.heads: {choice: [1, 2, 3]}"))  # fmt: skip
    broken = [c for c in odd.all if c.params["encoders.image.width"] == 16 and c.params["encoders.image.heads"] == 3]
    assert all(c.problem.startswith("does not compile") and c.constraints["compiles"] == 1.0 for c in broken)
    assert len({tuple(c.constraints) for c in odd.all}) == 1  # all keys, in one order, for the sampler's sake


PAINTED = """
base: digits_mae
space: {encoders.image.depth: {choice: [2, 3]}}
maximize: [SOUGHT]
minimize: [flops]
recipe: {data: digits_pictures, steps: 2}
budget: {trials: 2}
"""


def test_where_no_answer_is_right_or_wrong_there_is_a_loss_to_seek_and_no_accuracy(tmp_path):
    found = problem(tmp_path, PAINTED.replace("SOUGHT", "accuracy"))
    assert found.message.startswith("unknown objective 'accuracy'")
    assert "heads.pixels.loss" in str(found)
    sought = PAINTED.replace("maximize: [SOUGHT]\nminimize: [flops]", "minimize: [heads.pixels.loss, flops]")
    assert len(planned(tmp_path, sought).all) == 2


@pytest.mark.parametrize(
    ("changed", "line", "column", "said"),
    [
        (STUDY.replace("[accuracy]", "[acuracy]"), 6, 12, "unknown objective 'acuracy', did you mean 'accuracy'?"),
        (STUDY.replace("[flops]", "[flops.totl]"), 7, 12, "unknown objective 'flops.totl', did you mean 'flops.total'?"),
        (STUDY + 'limits: ["parameter.total <= 5"]\n', 10, 10, "unknown figure 'parameter.total' in a limit, did you mean 'parameters.total'?"),
        (STUDY + 'limits: ["accuracy >= 0.5"]\n', 10, 10, "accuracy is not known before training"),
        (STUDY + 'limits: ["parameters <= 5"]\n', 10, 10, "no spec of the space keeps this limit: the smallest has "),
        (STUDY + "reference: {loss: 5.0}\n", 10, 13, "a reference for 'loss', which is not sought"),
        (STUDY.replace("fusion.joint.depth", "fusion.joint.dept"), 5, 3, "did you mean 'depth'?"),
        (STUDY.replace("{choice: [1, 2, 3]}", "3"), 4, 3, "expected a domain for 'encoders.image.depth'"),
        (STUDY.replace("tiny.yaml", "tony.yaml"), 1, 7, "there is no base 'tony.yaml' beside this file"),
        ("base: tiny.yaml\n" + STUDY.partition("\n")[2].partition("maximize")[2].join(["maximize", ""]), 1, 7, "nothing is open"),
    ],
)  # fmt: skip
def test_a_mistake_is_located_in_the_study(tmp_path, changed, line, column, said):
    found = problem(tmp_path, changed)
    assert said in found.message
    assert (found.position.line, found.position.column) == (line, column)
    assert found.position.source.name.endswith("study.yaml")


def test_a_mistake_of_the_base_is_located_in_the_base(tmp_path):
    found = problem(tmp_path, base=BASE.replace("heads: 2}\n  text", "heds: 2}\n  text"))
    assert found.position.source.name.endswith("tiny.yaml")
    assert found.position.line == 6


def test_equal_specs_have_equal_digests_however_they_are_written(tmp_path):
    made = study(tmp_path)
    spec, _ = open_base(made)
    at = {"encoders.image.width": 16, "encoders.image.depth": 1, "fusion.joint.depth": 1}
    plain, _ = open_base(study(tmp_path, STUDY, BASE.replace("name: tiny", "name: other")))
    assert digest(spec.choose(at)) == digest(plain.choose(dict(reversed(at.items()))))
    assert digest(spec.choose(at)) != digest(spec.choose({**at, "fusion.joint.depth": 2}))


def test_what_was_not_seen_is_drawn_until_nothing_is_left(tmp_path):
    found = planned(tmp_path)
    seen = set()
    while (point := unseen(found, lambda c: c.digest in seen, seed=len(seen))) is not None:
        candidate = found.pricer(point)
        assert candidate.digest not in seen
        seen.add(candidate.digest)
    assert len(seen) == found.size == 48


@pytest.mark.parametrize("name", shipped.names("search"))
def test_a_shipped_study_fits_its_base_and_has_more_specs_than_it_trains(name):
    made = load_study(name)
    found = plan(made, *open_base(made))
    assert found.size is None or found.size > made.budget.trials


STARTS = [
    ("{encoders.image.width: 20}", 12, 28, "outside the space: encoders.image.width may be 8, 16, 24, 32, not 20"),
    ("{fusion.joint.dept: 1}", 12, 25, "'fusion.joint.dept' is not open, did you mean 'fusion.joint.depth'?"),
    ("wide.yaml", 12, 5, "outside the space: encoders.image.width may be 8, 16, 24, 32, and is 128 in wide.yaml"),
    ("other.yaml", 12, 5, "differs from the base in what is not open: encoders.text.width is 32, not 16"),
    ("nowhere.yaml", 12, 5, "there is no spec 'nowhere.yaml' beside this file"),
    ("{encoders.image.depth: 3}", 12, 5, "this may not be trained: it breaks flops.total <= 100000"),
]


@pytest.mark.parametrize(("written", "line", "column", "said"), STARTS)
def test_a_first_spec_outside_the_space_is_a_mistake_and_not_dropped(tmp_path, written, line, column, said):
    (tmp_path / "wide.yaml").write_text(BASE.replace("width: 16", "width: 128", 1))
    image, _, text = BASE.partition("  text")
    (tmp_path / "other.yaml").write_text(image + "  text" + text.replace("width: 16", "width: 32"))
    limited = STUDY + ('limits: ["flops <= 100 kFLOP"]\n' if "breaks" in said else "confirm: 0\n")
    found = problem(tmp_path, f"{limited}start:\n  - {written}\n")
    assert said in found.message
    assert (found.position.line, found.position.column) == (line, column)


def test_first_specs_are_said_by_choices_or_by_a_spec_and_come_before_all_others(tmp_path):
    (tmp_path / "member").mkdir()
    member = planned(tmp_path).base.choose(
        {"encoders.image.width": 24, "encoders.image.depth": 2, "fusion.joint.depth": 3}
    )
    (tmp_path / "member" / "spec.yaml").write_text(member.to_yaml())
    found = planned(tmp_path, STUDY + "start: [{fusion.joint.depth: 4}, member]\n")
    assert [tuple(point.values()) for point in found.first[:3]] == [(16, 1, 4), (24, 2, 3), (16, 1, 1)]
    assert digest(found.base.choose(found.first[1])) == digest(member)


@pytest.mark.parametrize(
    ("reference", "column", "said"),
    [
        ("flops: 1000", 20, "the reference lies inside the front: a spec of the space has "),
        ("accuracy: 1.0", 23, "no accuracy is above 1"),
    ],
)
def test_a_reference_inside_the_front_is_refused(tmp_path, reference, column, said):
    found = problem(tmp_path, f"{STUDY}reference: {{{reference}}}\n")
    assert said in found.message
    assert (found.position.line, found.position.column) == (10, column)
