"""What is learned of pictures alone: masked patches and self-distillation, on the digits and on a manifest of pictures."""

import math

import pytest
import torch
from PIL import Image

import mmspec
from mmspec.components import CATALOGUE
from mmspec.data import open_data
from mmspec.data.digits import load_scans
from mmspec.errors import UserError
from mmspec.spec import SpecError, read
from mmspec.training.nearest import agreement, collapsed

BESIDE = """
name: beside
inputs:
  image: {type: image, size: 16, channels: 1}
  text: {type: text, length: 32}
encoders:
  image: {type: vit, patch_size: 4, width: 8, depth: 1, heads: 2, masked: 0.25}
  text: {type: text_transformer, width: 8, depth: 1, heads: 2}
fusion: {joint: {type: concat, from: [image, text]}}
decoders: {rest: {type: masked_autoencoder, from: [image, image.order], width: 8, depth: 1, heads: 2}}
heads:
  label: {type: classification, classes: 12, from: joint}
  pixels: {type: pixels, from: [rest, inputs.image, image.order]}
objectives:
  - {type: cross_entropy, head: label, target: answer}
  - {type: masked_patches, head: pixels}
"""
PICTURES = "digits_pictures"


def test_masked_patches_are_learnt_beside_labels_and_a_run_can_be_repeated():
    recipe = {"steps": 12, "batch": 16, "learning_rate": 0.01}
    first, second = (mmspec.train(read(BESIDE, CATALOGUE), recipe) for _ in range(2))
    assert first.losses == second.losses  # which patches were masked, too
    assert first.metrics["history"] == second.metrics["history"]
    assert sum(first.losses[-4:]) < sum(first.losses[:4])
    assert first.metrics["validation"]["heads"].keys() == {"label"}


# masked autoencoders --------------------------------------------------------------------------------------------------

PAINTER = ["encoders.image.width=48", "encoders.image.depth=2", "decoders.rest.width=48", "decoders.rest.depth=1"]


def painter(*overrides):
    return mmspec.load("digits_mae", [*PAINTER, *overrides])


def test_a_masked_autoencoder_paints_better_than_the_mean_picture():
    recipe = {"data": PICTURES, "steps": 250, "learning_rate": 3e-3}
    result = mmspec.train(painter(), recipe)
    found = result.metrics["validation"]["heads"]["pixels"]
    losses = [-row["score"] for row in result.metrics["history"]]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == found["loss"] < 0.9 * found["limits"]["the mean picture"]
    assert (result.accuracy, result.metrics["warnings"]) == (None, [])


def test_the_limits_are_those_of_the_patches_that_were_masked():
    """All patches alike, the mean picture errs by the scans' variance at each place; a patch's own mean by that within patches."""
    spec = painter("encoders.image.masked=0.9")  # one patch of 16 is seen
    found = mmspec.train(spec, {"data": PICTURES, "steps": 1}).metrics["validation"]
    data = open_data(PICTURES, spec)
    pictures = {
        split: torch.cat([batch.inputs["image"] for batch in data.evaluation_batches(split, 256)])
        for split in ("training", "validation")
    }
    variance = (pictures["validation"] - pictures["training"].mean(dim=0)).square().mean()
    patches = pictures["validation"].unfold(2, 4, 4).unfold(3, 4, 4).flatten(-2)
    within = (patches - patches.mean(dim=-1, keepdim=True)).square().mean()
    limits = found["heads"]["pixels"]["limits"]
    assert limits["the mean picture"] == pytest.approx(float(variance), rel=0.05)
    assert limits["each patch's own mean"] == pytest.approx(float(within), rel=0.05)


@pytest.mark.parametrize("noise", ["an input", "drawn by the model"])
def test_the_same_patches_are_asked_for_at_every_validation(noise):
    drawn = ["encoders.image.from=inputs.image", "inputs.noise=null"] if noise == "drawn by the model" else []
    result = mmspec.train(painter(*drawn), {"data": PICTURES, "steps": 2, "learning_rate": 1e-12, "evaluate_every": 1})
    first, second = (row["score"] for row in result.metrics["history"])
    assert first == pytest.approx(second, abs=1e-6)


def test_who_has_learned_nothing_is_told_so():
    result = mmspec.train(painter(), {"data": PICTURES, "steps": 1})
    assert [line for line in result.metrics["warnings"] if "is not below that of the mean picture" in line]


# a manifest -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def album(tmp_path):
    """40 scans as files of 24 pixels, and a manifest that names them."""
    scans, digits = load_scans()
    rows = []
    for i in range(40):
        picture = Image.fromarray((scans[i] * 15).to(torch.uint8).numpy()).resize((24, 24))
        picture.save(tmp_path / f"{i}.png")
        rows.append(f"{i}.png,{int(digits[i])}")
    (tmp_path / "plain.csv").write_text("image\n" + "".join(f"{row.split(',')[0]}\n" for row in rows))
    (tmp_path / "known.csv").write_text("image,label\n" + "".join(f"{row}\n" for row in rows))
    return tmp_path


def test_a_column_of_pictures_is_enough(album):
    result = mmspec.train(painter(), {"data": str(album / "plain.csv"), "steps": 2, "batch": 8}, album / "run")
    assert result.metrics["validation"]["heads"]["pixels"]["limits"].keys() == {
        "the mean picture",
        "each patch's own mean",
    }
    with pytest.raises(UserError, match="gives no answers"):
        mmspec.predict(album / "run", {"image": str(album / "0.png")})


def test_a_missing_column_is_told_by_the_name_that_is_shown(album):
    (album / "wrong.csv").write_text("picture\n0.png\n")
    with pytest.raises(UserError, match="there is no column 'image'"):
        mmspec.train(pair(), {"data": str(album / "wrong.csv")})


# self-distillation ----------------------------------------------------------------------------------------------------


def pair(*overrides):
    return mmspec.load("digits_dino", ["encoders.image.width=32", "encoders.image.depth=1", *overrides])


def test_pictures_are_known_by_their_label_or_not_at_all(album):
    recipe = {"steps": 2, "batch": 8}
    known = mmspec.train(pair(), {"data": str(album / "known.csv"), **recipe}).metrics
    assert 0 <= known["validation"]["accuracy"] <= 1 and known["notes"] == []
    plain = mmspec.train(pair(), {"data": str(album / "plain.csv"), **recipe}).metrics
    assert plain["validation"]["accuracy"] is None
    assert plain["validation"]["heads"]["student"].keys() == {"entropy", "entropy_of_mean", "entropy_at_most"}


@pytest.mark.slow
def test_scans_of_one_digit_come_to_lie_together_though_nobody_says_what_they_are():
    spec = mmspec.load("digits_dino", ["encoders.image.width=64", "encoders.image.depth=2"])
    recipe = {"steps": 400, "batch": 32, "learning_rate": 2e-3, "average": 0.99, "augment": 0.3}
    result = mmspec.train(spec, {"data": PICTURES, **recipe})
    found = result.metrics["validation"]["heads"]["student"]
    assert result.accuracy == found["accuracy"] > found["accuracy_before"] + 0.06  # more than two standard errors
    assert result.metrics["validation"]["baselines"]["the network before training"] == found["accuracy_before"]
    assert result.metrics["warnings"] == []
    assert (
        found["entropy"] < found["entropy_of_mean"] < found["entropy_at_most"]
    )  # of pictures, it says different things


def test_a_picture_is_what_its_neighbours_are():
    bank = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    known = torch.tensor([4, 4, 7])
    asked = torch.tensor([[2.0, 0.1], [0.0, 5.0]])
    assert agreement(asked, torch.tensor([4, 7]), bank, known) == 1
    assert agreement(asked, torch.tensor([7, 7]), bank, known) == 0.5


@pytest.mark.parametrize(
    ("entropy", "of_mean", "said"),
    [(1.0, 3.0, ""), (0.0, 0.01, "says the same of every picture"), (4.59, 4.6, "is never surer")],
)
def test_a_teacher_that_says_nothing_is_told_of(entropy, of_mean, said):
    measured = {"entropy": entropy, "entropy_of_mean": of_mean, "entropy_at_most": math.log(100)}
    assert collapsed(measured).startswith(said) and bool(collapsed(measured)) == bool(said)


@pytest.mark.parametrize(
    ("spec", "messages"),
    [
        ("digits_mae", ["an objective of type 'masked_patches' learns from pictures alone, and this data has more"]),
        (
            "digits_dino",
            [
                "this data has no parts of pictures to show",
                "this data has no parts of pictures to show",
                "an objective of type 'dino' learns from pictures alone, and this data has more",
            ],
        ),
    ],
)
def test_data_that_has_more_than_pictures_is_refused_at_the_line(spec, messages):
    with pytest.raises(SpecError, match="--data digits_pictures, or a manifest") as raised:
        mmspec.train(mmspec.load(spec), {"steps": 1})
    assert [problem.message for problem in raised.value.diagnostics] == messages
    assert all(problem.position is not None for problem in raised.value.diagnostics)
