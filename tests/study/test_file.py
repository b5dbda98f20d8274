"""Study files: what is written is what is meant; what is wrong is located."""

import subprocess
import sys

import pytest

from mmspec.spec.diagnostics import SpecError
from mmspec.study import load_study, read_study

GOOD = """\
base: fusion_gated
space: {fusion.joint.depth: {choice: [1, 2, 3]}}
maximize: [accuracy]
minimize: [flops]
limits: ["parameters <= 2M"]
recipe: {steps: 300}
budget: {trials: 12}
"""


def problems(text):
    with pytest.raises(SpecError) as caught:
        read_study(text, "s.yaml")
    return [
        (d.position.line, d.position.column, d.message) if d.position else (0, 0, d.message)
        for d in caught.value.diagnostics
    ]


def test_the_shipped_study_is_found_by_its_bare_name():
    study = load_study("digits_pareto")
    assert study.title == "digits_pareto"
    assert [(o.name, o.maximize) for o in study.objectives] == [("accuracy", True), ("flops.total", False)]


def test_short_names_of_figures_are_long_ones():
    study = read_study(GOOD, "some/where/good.yaml")
    assert study.objectives[1].name == "flops.total"
    assert str(study.parsed_limits[0]) == "parameters.total <= 2e+06"
    assert (study.title, study.text) == ("good", GOOD)


@pytest.mark.parametrize(
    ("changed", "line", "column", "said"),
    [
        (GOOD.replace("maximize:", "maximise:"), 3, 1, "unknown key 'maximise' of the study, did you mean 'maximize'?"),
        (GOOD.replace("trials: 12", "trials: 0"), 7, 18, "must be greater than 0"),
        (GOOD.replace("trials: 12", "trials: many"), 7, 18, "expected a whole number"),
        (GOOD.replace("steps", "step"), 6, 10, "unknown key 'step' of 'recipe' of the study, did you mean 'steps'?"),
        (GOOD.replace("<=", "<"), 5, 10, "did you mean '<='?"),
        (GOOD + "sampler: tpee\n", 8, 10, "did you mean 'tpe'?"),
        (GOOD + "name: ../../etc\n", 8, 7, "name"),
        ("- a\n", 1, 1, "the study is a mapping"),
    ],
)
def test_a_mistake_is_located(changed, line, column, said):
    found = problems(changed)
    assert any((line, column) == at[:2] and said in at[2] for at in found), found


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (GOOD.replace("budget: {trials: 12}\n", ""), "missing key 'budget'"),
        (GOOD.replace("maximize: [accuracy]\nminimize: [flops]\n", ""), "nothing is sought"),
        (GOOD.replace("[flops]", "[flops, flops.total]"), "'flops.total' is sought twice"),
        (GOOD.replace("recipe: {steps: 300}\n", ""), "either a recipe"),
        (GOOD + "evaluate: {python: 'a:b'}\n", "either a recipe"),
    ],
)
def test_a_study_that_cannot_be_meant_is_refused(changed, said):
    assert any(said in message for _, _, message in problems(changed))


def test_all_mistakes_come_at_once():
    assert len(problems(GOOD.replace("maximize", "maximise").replace("12", "-1").replace("steps", "stepps"))) == 3


def test_reading_a_study_imports_neither_torch_nor_optuna_nor_matplotlib():
    code = (
        "import sys; from mmspec.study import load_study; load_study('digits_pareto');"
        "print([m for m in ('torch', 'optuna', 'matplotlib', 'sklearn', 'onnx') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
