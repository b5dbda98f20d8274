"""wav2vec 2.0 of transformers as a spec and no code: a raw waveform, seven convolutions, positions from a wide one, post-norm blocks.

Its positions' convolution has a normalised weight, which is folded into one here: ours is the plain convolution.
"""

import pytest
import torch
from peer import agree, ours_of
from torch.nn.utils import parametrize
from transformers import Wav2Vec2Config, Wav2Vec2Model

import mmspec

SPEC = """
name: wav2vec2
inputs: {sound: {type: waveform, rate: 16000, seconds: 0.2}}
encoders:
  sound:
    type: audio_transformer
    kernels: [10, 3, 3, 3, 3, 2, 2]
    strides: [5, 2, 2, 2, 2, 2, 2]
    channels: 12
    stem_padding: false
    stem_bias: false
    stem_norm: channel
    stem_projection: true
    position: {type: convolutional, kernel: 8, groups: 4, activation: gelu}
    embedding_norm: true
    norm_order: post
    final_norm: false
    width: 48
    depth: 2
    heads: 4
outputs: [sound]
"""
LARGE = ["embedding_norm=false", "norm_order=pre", "final_norm=true", "stem_norm=layer", "stem_bias=true"]
LAYOUT = """
source: transformers 5, models/wav2vec2/modeling_wav2vec2.py, its normalised weight folded
nodes: {sound: {section: encoders, type: audio_transformer}}
tensors:
  feature_extractor.conv_layers.{i}.conv.{p}: sound.stem{i}.{p}
  feature_extractor.conv_layers.{i}.layer_norm.{p}: sound.stem_norm{i}.{p}
  feature_projection.layer_norm.{p}: sound.projection_norm.{p}
  feature_projection.projection.{p}: sound.projection.{p}
  encoder.pos_conv_embed.conv.{p}: sound.position.{p}
  encoder.layer_norm.{p}: sound.embedding_norm.{p}
  encoder.layers.{i}.attention.q_proj.{p}: sound.blocks.{i}.attention.query.{p}
  encoder.layers.{i}.attention.k_proj.{p}: sound.blocks.{i}.attention.key.{p}
  encoder.layers.{i}.attention.v_proj.{p}: sound.blocks.{i}.attention.value.{p}
  encoder.layers.{i}.attention.out_proj.{p}: sound.blocks.{i}.attention.output.{p}
  encoder.layers.{i}.layer_norm.{p}: sound.blocks.{i}.norm1.{p}
  encoder.layers.{i}.feed_forward.intermediate_dense.{p}: sound.blocks.{i}.feed_forward.up.{p}
  encoder.layers.{i}.feed_forward.output_dense.{p}: sound.blocks.{i}.feed_forward.down.{p}
  encoder.layers.{i}.final_layer_norm.{p}: sound.blocks.{i}.norm2.{p}
ignore: {masked_spec_embed: pre-training only}
"""


def reference(**fields):
    model = Wav2Vec2Model(
        Wav2Vec2Config(
            conv_dim=(12,) * 7, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=192,
            num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, **fields,
        )
    )  # fmt: skip
    parametrize.remove_parametrizations(model.encoder.pos_conv_embed.conv, "weight")
    return model


@pytest.mark.parametrize("large", [False, True])
def test_wav2vec2_computes_what_transformers_computes(large, tmp_path):
    """The base form, and the large one, with norms in other places."""
    layout = LAYOUT.replace("sound.embedding_norm", "sound.norm") if large else LAYOUT  # before the blocks, or after
    (tmp_path / "wav2vec2.yaml").write_text(layout)
    theirs = reference(do_stable_layer_norm=True, feat_extract_norm="layer", conv_bias=True) if large else reference()
    agree(
        theirs,
        SPEC,
        {"sound": ("input_values", torch.randn(2, 3200, generator=torch.Generator().manual_seed(1)))},
        {"sound": "last_hidden_state"},
        overrides=[f"encoders.sound.{field}" for field in LARGE] if large else [],
        layout=str(tmp_path / "wav2vec2.yaml"),
        ignore=["masked_spec_embed"],
        published=False,
    )


def test_wav2vec2_base_is_as_large_as_is_published():
    """But for the length of each of the 128 places of its convolution, and the vector that stands for what is masked in training."""
    with torch.device("meta"):
        theirs = sum(p.numel() for p in Wav2Vec2Model(Wav2Vec2Config()).parameters())
    base = ["channels=512", "width=768", "depth=12", "heads=12", "position.kernel=128", "position.groups=16"]
    ours = mmspec.profile(ours_of(SPEC, [f"encoders.sound.{field}" for field in base]))
    assert ours["parameters.total"] == theirs - 128 - 768
