"""Digits with captions: words that follow from pixels, groups in which several answers may be right, bounds that are exact."""

from collections import Counter

import pytest
import torch

from mmspec.components import CATALOGUE
from mmspec.data import open_data
from mmspec.data.captions import CAPTIONS, captions_of, slant_of
from mmspec.data.digits import load_scans
from mmspec.spec import SpecError, read

SPEC = """
name: pairs
inputs: {image: {type: image, size: 16, channels: 1}, text: {type: text, length: 64}}
encoders:
  image: {type: vit, patch_size: 8, width: 8, depth: 1, heads: 2}
  text: {type: text_transformer, width: 8, depth: 1, heads: 2}
heads:
  image_embedding: {type: projection, from: image, width: 8}
  text_embedding: {type: projection, from: text, width: 8}
  similarity: {type: contrastive, from: [image_embedding, text_embedding]}
objectives: [{type: info_nce, head: similarity, target: caption}]
"""


@pytest.fixture
def data():
    return open_data("digits_captions", read(SPEC, CATALOGUE))


def bar(shift):
    """A stroke of three rows that moves to the right by `shift` pixels from row to row, from top to bottom."""
    scan = torch.zeros(8, 8)
    for row, place in ((2, 4 - shift), (3, 4), (4, 4 + shift)):
        scan[row, place] = 16.0
    return scan


def test_a_stroke_that_goes_right_as_it_goes_up_is_slanted_to_the_right():
    left, upright, right = slant_of(torch.stack([bar(1), bar(0), bar(-1)])).tolist()
    assert (left, upright, right) == (-1.0, 0.0, 1.0)


def test_a_third_of_each_digit_leans_to_either_side_and_half_of_it_is_thick():
    scans, digits = load_scans()
    said = [CAPTIONS[i].split(", ") for i in captions_of(scans, digits).tolist()]
    assert [words[0].rsplit(" ", 1)[1] for words in said[:4]] == ["zero", "one", "two", "three"]
    for digit in ("zero", "seven"):
        own = [words for words in said if words[0].endswith(digit)]
        leaning, strokes = Counter(words[1] for words in own), Counter(words[2] for words in own)
        assert max(leaning.values()) - min(leaning.values()) <= 1
        assert max(strokes.values()) - min(strokes.values()) <= 1


def test_each_text_is_the_caption_of_its_picture(data):
    scans, digits = load_scans()
    of_scan = {scan.numpy().tobytes(): int(c) for scan, c in zip(scans, captions_of(scans, digits), strict=True)}
    eight = open_data(
        "digits_captions",
        read(SPEC.replace("size: 16", "size: 8").replace("patch_size: 8", "patch_size: 4"), CATALOGUE),
    )
    for batch in eight.evaluation_batches("test", 1):
        for picture, ids, caption in zip(
            batch.inputs["image"], batch.inputs["text"], batch.targets["caption"], strict=True
        ):
            assert of_scan[((picture[0] + 1) * 8).round().numpy().tobytes()] == caption
            assert bytes(i - 1 for i in ids.tolist() if i).decode() == CAPTIONS[caption]


def test_groups_are_of_nearly_one_size_whatever_the_batch_and_hold_every_scan_once(data):
    sizes = [len(batch.groups) for batch in data.evaluation_batches("validation", 7)]
    assert sizes == [60] * 5 + [59]
    assert sum(sizes) == data.examples("validation") == 359


def test_the_bounds_are_what_such_rules_reach_on_the_very_groups(data):
    """Each rule, played out by brute force: for every member, what share of the candidates that it may pick from is right."""
    played = Counter()
    for batch in data.evaluation_batches("validation", 64):
        captions = batch.targets["caption"].tolist()
        commonest = Counter(captions).most_common(1)[0][0]
        by_digit = {digit: Counter(c for c in captions if c // 6 == digit).most_common(1) for digit in range(10)}
        for own in captions:
            played["chance"] += sum(other == own for other in captions) / len(captions)
            played["one modality alone"] += commonest == own
            played["the digit alone"] += by_digit[own // 6][0][0] == own
    bounds = data.baselines("validation")
    assert bounds == pytest.approx({name: count / 359 for name, count in played.items()})
    assert bounds["chance"] < 0.05 < bounds["one modality alone"] < 0.1 < bounds["the digit alone"] < 0.5


def test_a_training_batch_follows_from_its_numbers_alone(data):
    one, same, other = (data.training_batch(step, 16, 3) for step in (5, 5, 6))
    assert torch.equal(one.inputs["image"], same.inputs["image"]) and torch.equal(
        one.inputs["text"], same.inputs["text"]
    )
    assert not torch.equal(one.targets["caption"], other.targets["caption"])


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        (("length: 64", "length: 20"), "inputs.text.length", "the longest caption of digits_captions has 59 tokens"),
        (("target: caption", "target: label"), "objectives.0.target", "digits_captions has no column 'label'"),
    ],
)
def test_a_spec_that_does_not_fit_is_refused_where_it_says_so(change, where, message):
    spec = read(SPEC.replace(*change), CATALOGUE)
    with pytest.raises(SpecError) as found:
        open_data("digits_captions", spec)
    (problem,) = found.value.diagnostics
    assert message in problem.message
    assert problem.position.line == spec.at(where).line


def test_questions_are_no_pairs():
    with pytest.raises(SpecError, match="there is no data for an objective of type 'info_nce'"):
        open_data("digits_questions", read(SPEC, CATALOGUE))
