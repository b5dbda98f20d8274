"""Whisper of transformers: a spectrogram read, a text written."""

import torch
from peer import agree, price
from transformers import WhisperConfig, WhisperForConditionalGeneration

import mmspec

SIZES = {
    "vocab_size": 99,
    "num_mel_bins": 10,
    "d_model": 48,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 192,
    "decoder_ffn_dim": 192,
    "max_source_positions": 20,
    "max_target_positions": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
OUTPUTS = {"next": "logits", "sound": "encoder_last_hidden_state"}


def reference():
    return WhisperForConditionalGeneration(WhisperConfig(**SIZES))


def given(tokens=12):
    """Theirs has no axis for channels: [B, mels, frames]."""
    generator = torch.Generator().manual_seed(1)
    sound = torch.randn(2, 1, 10, 40, generator=generator)
    target = torch.randint(0, 99, (2, tokens), generator=generator)
    inputs = {"sound": (None, sound), "target": ("decoder_input_ids", target)}
    return inputs, {"input_features": sound[:, 0], "use_cache": False}


def test_whisper_computes_what_transformers_computes():
    inputs, theirs = given()
    agree(reference(), "whisper_tiny", inputs, OUTPUTS, theirs=theirs, overrides=["outputs=[sound]"])


def test_the_epsilon_of_every_norm_is_the_published_one():
    inputs, theirs = given(tokens=16)
    model = reference()
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 0.1
    changed = ["encoders.sound.norm_eps=0.1", "decoders.answer.norm_eps=0.1"]
    agree(model, "whisper_tiny", inputs, {"next": "logits"}, theirs=theirs, overrides=changed)


def test_the_fixed_positions_are_whispers_own_before_any_weights_are_loaded():
    theirs = reference().model.encoder.embed_positions.weight
    ours = mmspec.build(mmspec.load("whisper_tiny", variant="small")).get_parameter("sound.position")
    assert not ours.requires_grad
    assert (ours - theirs).abs().max() < 1e-6


def test_whisper_tiny_costs_what_is_published():
    price("whisper_tiny", parameters=37_760_640, flops=44_697_894_912, N=64)


def test_whisper_small_is_a_spec_and_no_code():
    """The figures of transformers' whisper at the sizes of openai/whisper-small."""
    stack = ["width=768", "depth=12", "heads=12"]
    overrides = [f"{node}.{size}" for node in ("encoders.sound", "decoders.answer") for size in stack]
    price("whisper_tiny", parameters=241_734_912, overrides=overrides)
