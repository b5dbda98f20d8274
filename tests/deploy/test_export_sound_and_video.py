"""Sounds and clips as ONNX files: the small variants of the published ones, and what hears a raw waveform."""

import pytest
import small_exports as small

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import read

HEARING = """
name: hearing
inputs: {sound: {type: waveform, rate: 800, seconds: 0.25}}
encoders:
  mel: {type: log_mel, from: sound, mels: 8, window: 40, hop: 10, frames: 24}
  words: {type: audio_transformer, from: mel, width: 16, depth: 1, heads: 2, attention: {type: window, size: 3, causal: true}}
  raw: {type: audio_transformer, from: inputs.sound, width: 16, depth: 1, heads: 2, kernels: [10, 4], strides: [5, 2],
        stem_norm: channel, stem_padding: false}
  both: {type: token_transformer, from: words, width: 16, depth: 1, heads: 2, class_token: true}
heads:
  order: {type: classification, classes: 4, from: raw, pool: temporal_pyramid}
  label: {type: classification, classes: 4, from: both.class}
"""
WATCHING = """
name: watching
inputs: {clip: {type: video, frames: 8, size: 8, channels: 1}}
encoders:
  clip: {type: video_transformer, patch_size: 4, tubelet: 2, width: 16, depth: 2, heads: 2, first: space, position: rotary,
         time_position: rotary, time_attention: {type: window, size: 2, causal: true}}
  alone: {type: video_transformer, from: inputs.clip, space_time: separate, patch_size: 4, width: 16, depth: 1, heads: 2,
          class_token: true}
  whole: {type: token_transformer, from: alone.class, width: 16, depth: 1, heads: 2, attention: causal}
heads:
  label: {type: classification, classes: 4, from: clip, pool: {type: temporal_pyramid, scales: [1, 4]}}
  after: {type: classification, classes: 4, from: whole, pool: last}
"""


def own(text):
    return read(text, CATALOGUE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: mmspec.load("ast_base", variant="small"),
        lambda: mmspec.load("wav2vec2_base", variant="small"),
        lambda: mmspec.load("whisper_tiny", variant="small"),
        lambda: mmspec.load("timesformer_base", variant="small"),
        lambda: own(HEARING),
        lambda: own(WATCHING),
    ],
    ids=["ast_base", "wav2vec2_base", "whisper_tiny", "timesformer_base", "hearing", "watching"],
)
def test_it_is_exported_and_agrees_with_torch(make):
    draft = small.draft(make())
    draft.check()
    assert max(draft.prove().max_error.values()) <= 1e-4
