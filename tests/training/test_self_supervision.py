"""What a model learns of its inputs alone is trained beside what a column says; by itself, it has nothing to be measured by."""

import pytest

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read

SPEC = """
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
RECIPE = {"steps": 12, "batch": 16, "learning_rate": 0.01}


def trained():
    return mmspec.train(read(SPEC, CATALOGUE), RECIPE)


def test_masked_patches_are_learnt_beside_labels_and_a_run_can_be_repeated():
    first, second = trained(), trained()
    assert first.losses == second.losses  # which patches were masked, too
    assert first.metrics["history"] == second.metrics["history"]
    assert sum(first.losses[-4:]) < sum(first.losses[:4])
    assert first.metrics["validation"]["heads"].keys() == {"label"}


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("mae_b", ["no objective has a column that accuracy could be told by"]),
        (
            "dino_s16_teaching",
            [
                "there is no reader for several views of a picture yet",
                "there is no data for an objective of type 'dino'",
            ],
        ),
    ],
)
def test_what_cannot_be_trained_from_the_command_line_yet_is_said(name, messages):
    with pytest.raises(SpecError) as raised:
        mmspec.train(mmspec.load(name, variant="small"), {"steps": 1})
    assert [problem.message for problem in raised.value.diagnostics] == messages
