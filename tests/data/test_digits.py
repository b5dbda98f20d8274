"""The digits questions: split by scan, the same on every run, varied in training only, and refused where a spec
cannot fit.
"""

from collections import Counter
from pathlib import Path

import pytest
import torch

from mmspec.data import open_data
from mmspec.data.digits import load_scans
from mmspec.data.images import resized, vary
from mmspec.data.questions import ANSWERS, TEMPLATES
from mmspec.errors import UserError
from mmspec.spec import SpecError

TEXTS = [template.text for template in TEMPLATES]


def digits(spec, **options):
    return open_data("digits_questions", spec, **options)


def read_back(ids):
    """The text of a row of byte ids."""
    return bytes(i - 1 for i in ids.tolist() if i).decode()


def test_a_scan_is_in_one_split_and_every_scan_in_some(spec_of):
    rows = digits(spec_of())._rows
    together = torch.cat(list(rows.values()))
    assert sorted(together.tolist()) == list(range(1797))
    assert {split: len(some) for split, some in rows.items()} == {"training": 1079, "validation": 359, "test": 359}


def test_another_split_seed_deals_anew_and_the_same_one_alike(spec_of):
    first, again, other = (digits(spec_of(), split_seed=seed)._rows["validation"].tolist() for seed in (3, 3, 4))
    assert first == again != other


def test_evaluation_asks_every_question_of_every_scan_with_its_weight(spec_of):
    data = digits(spec_of())
    asked = Counter()
    weight = 0.0
    for batch in data.evaluation_batches("validation", 100):
        for ids, answer, group in zip(batch.inputs["text"], batch.targets["answer"], batch.groups, strict=True):
            assert read_back(ids) == TEXTS[group]
            asked[TEXTS[group]] += 1
            assert (answer < 10) == (group < 2)
        weight += float(batch.weights.sum())
    assert asked == dict.fromkeys(TEXTS, 359)
    assert weight == pytest.approx(359)


def test_the_answers_are_true_of_the_pictured_digits(spec_of):
    data = digits(spec_of("inputs.image.size=8"))
    scans, truth = load_scans()
    known = {scan.numpy().tobytes(): int(digit) for scan, digit in zip(scans, truth, strict=True)}
    for batch in data.evaluation_batches("test", 359):
        pictures = ((batch.inputs["image"][:, 0] + 1) * 8).round()  # back to 0..16: at 8 pixels nothing is resized
        for picture, answer, group in zip(pictures, batch.targets["answer"], batch.groups, strict=True):
            assert TEMPLATES[group].answer(known[picture.numpy().tobytes()]) == answer


def test_a_batch_is_trimmed_to_its_longest_question(spec_of):
    for batch in digits(spec_of()).evaluation_batches("validation", 359):
        asked = {TEXTS[group] for group in batch.groups.tolist()}
        assert batch.inputs["text"].shape[1] == max(map(len, asked))


def test_a_training_batch_depends_on_step_size_and_seed_alone(spec_of):
    data, again = digits(spec_of()), digits(spec_of())
    data.training_batch(0, 32, 7)
    one, same = data.training_batch(5, 32, 7), again.training_batch(5, 32, 7)
    assert all(torch.equal(one.inputs[name], same.inputs[name]) for name in ("image", "text"))
    assert torch.equal(one.targets["answer"], same.targets["answer"])
    for other in (data.training_batch(6, 32, 7), data.training_batch(5, 32, 8)):
        assert not torch.equal(one.inputs["image"], other.inputs["image"])


def test_questions_are_drawn_by_their_weights(spec_of):
    data = digits(spec_of("inputs.image.size=8"))
    counts = torch.bincount(data.training_batch(0, 20_000, 0).groups, minlength=5) / 20_000
    wanted = torch.tensor([float(template.weight) for template in TEMPLATES])
    assert torch.allclose(counts, wanted, atol=0.015)  # four standard errors


def test_training_varies_a_scan_a_little_and_evaluation_shows_it_as_it_is(spec_of):
    still = digits(spec_of("inputs.image.size=32"), augment=0.0)
    varied = digits(spec_of("inputs.image.size=32"))
    plain, moved = (data.training_batch(0, 64, 0).inputs["image"] for data in (still, varied))
    assert plain.shape == moved.shape == (64, 1, 32, 32)
    change = (plain - moved).abs().mean(dim=(1, 2, 3))
    assert (change > 0.005).all()  # every one is moved
    assert change.mean() < 0.4 * (plain - plain.roll(1, dims=0)).abs().mean()  # and stays itself, not another


def test_a_variation_of_strength_zero_is_what_evaluation_shows():
    scans = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for size in ((8, 8), (32, 32), (20, 28)):
        torch.testing.assert_close(vary(scans, size, 0.0, torch.Generator()), resized(scans, size), atol=1e-5, rtol=0)


def test_three_channels_are_the_grey_one_thrice(spec_of):
    batch = digits(spec_of("inputs.image.channels=3")).training_batch(0, 4, 0)
    image = batch.inputs["image"]
    assert image.shape == (4, 3, 16, 16)
    assert torch.equal(image[:, 0], image[:, 2])
    assert -1 <= image.min() < image.max() <= 1


def test_the_example_picture_reads_as_its_scan_does(spec_of, tmp_path: Path):
    data = digits(spec_of("inputs.image.size=32"))
    example = data.save_example(tmp_path)
    read = data.preprocessing.read({**example.inputs, "image": str(tmp_path / example.inputs["image"])})
    shown = next(data.evaluation_batches("test", 1))
    torch.testing.assert_close(
        torch.from_numpy(read["image"]), shown.inputs["image"], atol=3 / 255, rtol=0
    )  # 8 bits, then PIL's
    after = next(batch for batch in data.evaluation_batches("test", 359) if batch.groups[0] == 1)
    assert bytes(i - 1 for i in read["text"][0].tolist()) == b"what comes after it?"
    assert example.answers == {"label": ANSWERS[after.targets["answer"][0]]}


@pytest.mark.parametrize(
    ("old", "new", "where", "message"),
    [
        ("vocab_size: 257", "vocab_size: 200", "small.yaml:4:34", "the tokenizer has 257 tokens"),
        ("length: 32", "length: 26", "small.yaml:4:47", "the longest question of digits_questions has 27 tokens"),
        ("channels: 1", "channels: 2", "small.yaml:3:44", "1 channel (grey) or 3 (RGB), not 2"),
        ("classes: 12", "classes: 10", "small.yaml:11:42", "has 12 answers"),
        ("target: answer", "target: label", "small.yaml:13:48", "no column 'label'"),
    ],
)
def test_a_spec_that_does_not_fit_is_told_where(edited, old, new, where, message):
    with pytest.raises(SpecError) as error:
        digits(edited({old: new}))
    (diagnostic,) = error.value.diagnostics
    assert message in diagnostic.message
    assert str(diagnostic.position) == where


def test_everything_that_does_not_fit_is_told_at_once(edited):
    with pytest.raises(SpecError) as error:
        digits(edited({"length: 32": "length: 5", "classes: 12": "classes: 2"}))
    assert [diagnostic.position.line for diagnostic in error.value.diagnostics] == [4, 11]


def test_a_name_that_is_no_data_is_refused(spec_of):
    with pytest.raises(UserError, match=r"'digit_questions' is neither embedded .digits_questions, .* nor a manifest"):
        open_data("digit_questions", spec_of())
