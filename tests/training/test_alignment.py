"""Pairs and sounds are really learnt, from the embedded data, in half a minute each."""

import json

import pytest
import torch

import mmspec
from mmspec.training import Recipe, predict

SMALLER = ["encoders.image.depth=1", "encoders.image.width=48", "encoders.text.depth=1", "encoders.text.width=32"]


@pytest.mark.slow
def test_pictures_and_captions_find_each_other_better_than_one_modality_alone_could():
    recipe = Recipe(data="digits_captions", steps=80, learning_rate=0.003)
    validation = mmspec.train(mmspec.load("digits_clip", SMALLER), recipe).metrics["validation"]
    assert validation["accuracy"] > validation["baselines"]["one modality alone"] + 4 * validation["standard_error"]
    assert set(validation["heads"]["similarity"]["groups"]) == {
        "image_embedding finds text_embedding",
        "text_embedding finds image_embedding",
    }


@pytest.mark.slow
def test_words_are_told_apart_from_their_partners():
    validation = mmspec.train(mmspec.load("spoken_words"), Recipe(data="spoken_words", steps=100)).metrics["validation"]
    bound = validation["baselines"]["the mean spectrum alone"]
    assert validation["accuracy"] > bound + 4 * validation["standard_error"]


@pytest.mark.parametrize("loss", ["info_nce", "sigmoid"])
def test_a_trained_folder_says_how_well_a_picture_and_a_caption_go_together(loss, tmp_path):
    said = f"objectives=[{{type: {loss}, head: similarity, target: caption}}]"
    spec, out = mmspec.load("digits_clip", [*SMALLER, said]), tmp_path / "run"
    result = mmspec.train(spec, Recipe(data="digits_captions", steps=2, batch=8), out)
    example = json.loads((out / "metrics.json").read_text())["example"]
    inputs = {"image": str(out / example["inputs"]["image"]), "text": example["inputs"]["text"]}
    assert example["answers"] == {"similarity": inputs["text"]}
    heard = {"text": torch.tensor([[byte + 1 for byte in inputs["text"].encode()]])}
    with torch.no_grad():
        picture = mmspec.data.Preprocessing.load(out / "data").read(inputs)["image"]
        wanted = float(result.module(image=torch.from_numpy(picture), **heard)["similarity"])
    assert predict(out, inputs)["similarity"]["score"] == pytest.approx(wanted, abs=1e-4)


def test_where_equal_captions_are_equal_inputs_the_published_loss_is_that_of_alike_pairs():
    """Columns of one caption are the same column, so that to share the right answers among them changes nothing."""
    losses = [
        mmspec.train(
            mmspec.load("digits_clip", [*SMALLER, f"objectives=[{{type: info_nce, head: similarity{alike}}}]"]),
            Recipe(data="digits_captions", steps=3, batch=32),
        ).losses
        for alike in ("", ", target: caption")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
