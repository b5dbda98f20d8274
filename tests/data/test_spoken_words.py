"""Spoken key words: what is drawn stays in its range, order is what counts, files are read as they were written."""

import pytest
import torch

from mmspec.components import CATALOGUE
from mmspec.data import open_data
from mmspec.data.tones import FORMANTS, NAMES, WORDS, utter
from mmspec.reading.sounds import WaveformColumn
from mmspec.spec import SpecError, read

SPEC = """
name: words
inputs: {sound: {type: waveform, rate: 8000, seconds: 1}}
encoders:
  mel: {type: log_mel, from: inputs.sound, mels: 20, window: 256, hop: 80}
  sound: {type: audio_transformer, from: mel, width: 8, depth: 1, heads: 2}
heads: {label: {type: classification, classes: 8, from: sound}}
objectives: [{type: cross_entropy, head: label, target: word}]
"""


@pytest.fixture(scope="module")
def data():
    return open_data("spoken_words", read(SPEC, CATALOGUE))


def test_every_word_has_a_partner_of_the_same_vowels_in_the_other_order():
    for vowels in WORDS.values():
        assert tuple(reversed(vowels)) in WORDS.values()
        assert vowels != tuple(reversed(vowels))


def test_a_vowel_is_loudest_at_its_formants():
    """The long-time spectrum of "up", aw then ee, has more power around the first formants of either than between."""
    words = torch.full((64,), NAMES.index("up"))
    power = (
        torch.fft.rfft(utter(words, 8000, torch.Generator().manual_seed(0))).abs().square().mean(dim=0)
    )  # a bin per hertz

    def around(hertz):
        return float(power[int(hertz * 0.9) : int(hertz * 1.12)].mean())

    quiet = around(1600)
    assert min(around(f) for vowel in ("aw", "ee") for f in FORMANTS[vowel]) > 3 * quiet


def test_an_utterance_is_finite_and_within_the_full_scale():
    sounds = utter(torch.arange(8).repeat(8), 8000, torch.Generator().manual_seed(1))
    assert sounds.shape == (64, 8000)
    loudest = sounds.abs().amax(dim=1)
    assert loudest.min() >= 0.2 - 1e-6 and loudest.max() <= 1 + 1e-6


def test_a_training_batch_follows_from_its_numbers_and_no_two_are_alike(data):
    one, same, other = (data.training_batch(step, 8, 0) for step in (0, 0, 1))
    assert torch.equal(one.inputs["sound"], same.inputs["sound"])
    assert not torch.equal(one.inputs["sound"], other.inputs["sound"])


def test_evaluation_is_fifty_of_each_word_the_same_every_time(data):
    first, again = (list(data.evaluation_batches("validation", 150)) for _ in range(2))
    assert [len(batch.groups) for batch in first] == [150, 150, 100]
    assert torch.cat([batch.groups for batch in first]).bincount().tolist() == [50] * 8
    assert all(torch.equal(a.inputs["sound"], b.inputs["sound"]) for a, b in zip(first, again, strict=True))
    test = next(data.evaluation_batches("test", 150))
    assert not torch.equal(test.inputs["sound"], first[0].inputs["sound"])


def test_without_the_order_of_vowels_a_word_cannot_be_told_from_its_partner(data):
    """Half of the answers of a rule that knows the vowels alone are wrong; it is far above chance all the same."""
    bounds = data.baselines("test")
    assert bounds["chance"] == 1 / 8
    assert 0.35 < bounds["the mean spectrum alone"] < 0.6


def test_the_saved_example_is_read_back(data, tmp_path):
    example = data.save_example(tmp_path)
    column = data.preprocessing.columns["sound"]
    heard = column.read(tmp_path / example.inputs["sound"])
    first = next(data.evaluation_batches("test", 1))
    assert example.answers == {"label": NAMES[int(first.groups[0])]}
    assert abs(heard - first.inputs["sound"][0].numpy()).max() <= 1 / 32768


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (WaveformColumn(16000, 16000), "8,000 samples a second, where the model hears 16,000"),
        (WaveformColumn(8000, 4000), "1.00 s, where the model hears 0.50 s"),
    ],
)
def test_a_sound_of_another_rate_or_longer_than_is_heard_is_refused(data, tmp_path, column, message):
    data.save_example(tmp_path)
    with pytest.raises(ValueError, match=message):
        column.read(tmp_path / "example.wav")


def test_a_short_sound_is_filled_up_with_silence(data, tmp_path):
    data.save_example(tmp_path)
    heard = WaveformColumn(8000, 9000).read(tmp_path / "example.wav")
    assert heard.shape == (9000,) and not heard[8000:].any() and heard[:8000].any()


def test_what_is_no_sound_is_refused(tmp_path):
    (tmp_path / "x.wav").write_bytes(b"RIFF but nothing else")
    with pytest.raises(ValueError, match="not a sound of a known kind"):
        WaveformColumn(8000, 8000).read(tmp_path / "x.wav")


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        (("rate: 8000", "rate: 4000"), "inputs.sound.rate", "the words of spoken_words reach up to 3,000 Hz"),
        (("seconds: 1", "seconds: 0.5"), "inputs.sound.seconds", "a word of spoken_words lasts 1 s, all told"),
        (("classes: 8", "classes: 4"), "heads.label.classes", "spoken_words has 8 words"),
    ],
)
def test_a_spec_that_does_not_fit_is_refused_where_it_says_so(change, where, message):
    spec = read(SPEC.replace(*change), CATALOGUE)
    with pytest.raises(SpecError) as found:
        open_data("spoken_words", spec)
    (problem,) = found.value.diagnostics
    assert message in problem.message
    assert problem.position.line == spec.at(where).line
