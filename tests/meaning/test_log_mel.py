"""A log-mel spectrogram is the published front ends' own: Whisper's and the Audio Spectrogram Transformer's."""

import pytest
import torch

from mmspec.backend import build
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read

KALDI = (
    "mels: 128, fft: 512, filters: kaldi, low: 20, reflected: false, periodic: false, centred: true, emphasis: 0.97,"
    " logarithm: natural, floor: 1.1920929e-7, below: null, shift: -4.2677393, spread: 9.1379948"
)


def front_end(fields, seconds, rate=16000):
    return read(
        f"""
        name: front_end
        inputs: {{sound: {{type: waveform, rate: {rate}, seconds: {seconds}}}}}
        encoders:
          mel: {{type: log_mel, from: sound, {fields}}}
          words: {{type: audio_transformer, from: mel, width: 4, depth: 1, heads: 1}}
        heads: {{label: {{type: classification, classes: 2, from: words}}}}
        outputs: [mel]
        """,
        CATALOGUE,
    )


def spectrogram(fields, sounds, rate=16000):
    """What `mel` gives, [B, mels, frames]."""
    with torch.no_grad():
        return build(front_end(fields, sounds.shape[1] / rate, rate)).eval()(sound=sounds)["mel"][:, 0]


def sounds(seconds, rate=16000):
    """A rising tone over quiet noise, and one that stops half way."""
    time = torch.arange(round(seconds * rate)) / rate
    tone = 0.5 * torch.sin(2 * torch.pi * (200 + 900 * time) * time)
    noise = 0.01 * torch.randn(2, len(time), generator=torch.Generator().manual_seed(0))
    noise[1, len(time) // 2 :] = 0
    return torch.stack([tone, tone * (time < seconds / 2)]) + noise


def test_by_default_it_is_whispers():
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=3)
    heard = sounds(3)
    theirs = extractor(list(heard.numpy()), sampling_rate=16000, return_tensors="pt").input_features
    ours = spectrogram("frames: 300", heard)
    assert ours.shape == theirs.shape == (2, 80, 300)
    assert (ours - theirs).abs().max() < 1e-4


def test_with_kaldis_fields_it_is_the_audio_spectrogram_transformers():
    from transformers import ASTFeatureExtractor

    heard = sounds(3)
    theirs = ASTFeatureExtractor(max_length=320)(list(heard.numpy()), sampling_rate=16000, return_tensors="pt")
    ours = spectrogram(f"{KALDI}, frames: 320", heard)
    theirs = theirs.input_values.mT  # theirs has time before frequency
    assert ours.shape == theirs.shape == (2, 128, 320)
    assert (ours - theirs).abs().max() < 1e-4


@pytest.mark.parametrize(("form", "norm"), [("slaney", "slaney"), ("htk", None), ("kaldi", None)])
def test_bands_are_those_of_each_convention(form, norm):
    from transformers.audio_utils import mel_filter_bank

    from mmspec.backend.runtime import mel_filters

    theirs = mel_filter_bank(
        257, 40, 50.0, 7000.0, 16000, norm=norm, mel_scale=form, triangularize_in_mel_space=form == "kaldi"
    )
    assert (mel_filters(40, 512, 16000, 50.0, 7000.0, form) - torch.tensor(theirs).T).abs().max() < 1e-6


def test_a_tone_is_loudest_in_the_band_of_its_frequency():
    """1000 Hz is 15 mels of Slaney's scale, 1 kHz of 4 kHz (about 35.2): band 15 / 35.2 of 40 from below."""
    time = torch.arange(8000) / 8000
    mel = spectrogram("mels: 40", torch.sin(2 * torch.pi * 1000 * time)[None], rate=8000)
    top = 15 + 27 * torch.log(torch.tensor(4.0)) / torch.log(torch.tensor(6.4))
    assert set(mel[0, :, 5:-5].argmax(0).tolist()) == {round(float(15 / top * 41)) - 1}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("fft: 200", "a Fourier transform over 200 samples is shorter than the window, 400"),
        ("window: 40000", "a window of 40000 samples is longer than the sound, 16000"),
        ("high: 9000", "bands from 0 to 9000 Hz are not below half the rate, 8000 Hz"),
        ("low: 8000", "bands from 8000 to 8000 Hz are not below half the rate, 8000 Hz"),
    ],
)
def test_what_cannot_be_heard_is_an_error_at_its_field(fields, said):
    from mmspec import lower

    with pytest.raises(SpecError) as caught:
        lower(front_end(fields, 1))
    (problem,) = caught.value.diagnostics
    assert problem.message == said
    line = problem.position.source.text.splitlines()[problem.position.line - 1]
    assert line[problem.position.column - 1 :].startswith(fields.partition(": ")[2])
