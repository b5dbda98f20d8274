"""The chain for real: trained by recipe, or judged by the user's own code, and taken up again by build and predict."""

import json

import pytest
import torch
from small_spec import small_spec

import mmspec
from mmspec.errors import UserError
from mmspec.study import read_study, search

BASE = small_spec("base")
STUDY = """\
base: base.yaml
space: {encoders.image.width: {choice: [8, 16, 32]}}
maximize: [accuracy]
minimize: [flops]
recipe: {data: digits_questions, steps: 3, batch: 8}
budget: {trials: 3}
confirm: 0
"""


def study(folder, text):
    (folder / "base.yaml").write_text(BASE)
    return read_study(text, str(folder / "study.yaml"))


@pytest.mark.slow
def test_members_of_a_trained_front_are_built_folders_that_answer(tmp_path):
    front = search(study(tmp_path, STUDY), tmp_path / "out")
    assert len(front.trained) == 3
    member = front.members[0]
    folder = tmp_path / "out" / "front" / "0"
    assert {"spec.yaml", "model.py", "model.safetensors", "profile.json", "diagram.svg", "metrics.json", "data"} <= {
        path.name for path in folder.iterdir()
    }
    assert json.loads((folder / "metrics.json").read_text())["validation"]["accuracy"] == member.values["accuracy"]
    assert mmspec.profile(mmspec.load(folder / "spec.yaml"))["flops.total"] == member.values["flops.total"]
    image, text = torch.rand(2, 1, 16, 16), torch.randint(1, 256, (2, 9))
    answers = []
    for home in (folder, member.folder):
        module = mmspec.build(mmspec.load(folder / "spec.yaml"), weights=home / "model.safetensors").eval()
        answers.append(module(image=image, text=text)["label"])
    assert torch.equal(*answers)  # the trained weights, not fresh ones
    assert "text alone" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_a_trained_search_is_repeatable(tmp_path):
    short = STUDY.replace("trials: 3", "trials: 2")
    first, second = (search(study(tmp_path, short), tmp_path / name) for name in ("one", "two"))
    assert [t.metrics["heads"]["label"]["loss"] for t in first.trained] == [
        t.metrics["heads"]["label"]["loss"] for t in second.trained
    ]


def test_the_users_own_code_judges_a_built_folder(tmp_path):
    (tmp_path / "judge.py").write_text(
        "def score(folder):\n"
        "    weights = (folder / 'model.safetensors').stat().st_size\n"
        "    return {'score': 1 - 1e4 / weights, 'weights': weights}\n"
    )
    own = STUDY.replace(
        "recipe: {data: digits_questions, steps: 3, batch: 8}", "evaluate: {python: 'judge:score'}"
    ).replace("accuracy", "score")
    front = search(study(tmp_path, own), tmp_path / "out")
    assert len(front) == 3  # more weights, more score, more FLOPs: all are worth having
    assert [m.values["score"] for m in front] == sorted(m.values["score"] for m in front)
    assert front.members[0].accuracy is None


def test_a_judge_that_fails_stops_the_search_in_its_own_words(tmp_path):
    own = STUDY.replace("recipe: {data: digits_questions, steps: 3, batch: 8}", "evaluate: {command: ['false']}")
    with pytest.raises(UserError, match="evaluate: false failed with exit code 1"):
        search(study(tmp_path, own), tmp_path / "out")
