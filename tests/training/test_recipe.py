"""A recipe is read strictly, without torch, and every mistake in it is told."""

import subprocess
import sys

import pytest

from mmspec.errors import UserError
from mmspec.training import Recipe


def test_all_that_is_wrong_is_told_at_once_with_the_nearest_name():
    with pytest.raises(UserError) as error:
        Recipe.read({"lerning_rate": 1e-3, "steps": 0, "batch": "128", "warmup": 1.0, "keep": "first"})
    said = str(error.value)
    assert "recipe: unknown field 'lerning_rate', did you mean 'learning_rate'?" in said
    for field in ("steps", "batch", "warmup", "keep"):
        assert f"recipe.{field}: " in said
    assert len(said.splitlines()) == 5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e-3, True])
def test_a_learning_rate_is_a_finite_positive_number(value):
    with pytest.raises(UserError, match=r"recipe\.learning_rate"):
        Recipe.read({"learning_rate": value})


def test_paths_are_relative_to_the_file_that_names_them(tmp_path):
    recipe = Recipe.read({"data": "a/data.csv", "tokenizer": "t.json"}, folder=tmp_path)
    assert recipe.data == str(tmp_path / "a/data.csv")
    assert recipe.tokenizer == str(tmp_path / "t.json")
    embedded = Recipe.read({}, folder=tmp_path)
    assert (embedded.data, embedded.tokenizer) == ("digits_questions", "bytes")


def test_a_recipe_is_read_without_torch():
    code = "import sys, mmspec.training; mmspec.training.Recipe(), mmspec.training.Evaluation; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
