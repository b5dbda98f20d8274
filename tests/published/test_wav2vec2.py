"""wav2vec 2.0 of transformers: a raw waveform, seven convolutions, positions from a wide one, post-norm blocks. The weight of that
convolution is normalised; ours is the plain weight that loading makes of its lengths and directions."""

import pytest
import torch
from peer import agree, compare_outputs, draw, ours_of, price, written
from safetensors.torch import save_file
from torch.nn.utils import parametrize
from transformers import Wav2Vec2Config, Wav2Vec2Model

import mmspec
from mmspec.errors import UserError
from mmspec.weights.layout import FOLDER

SOUND = {"sound": ("input_values", torch.randn(2, 3200, generator=torch.Generator().manual_seed(1)))}
OUTPUTS = {"sound": "last_hidden_state"}
LARGE = ["embedding_norm=false", "norm_order=pre", "final_norm=true", "stem_norm=layer", "stem_bias=true"]


def reference(**fields):
    return Wav2Vec2Model(
        Wav2Vec2Config(
            conv_dim=(12,) * 7, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=192,
            num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, **fields,
        )
    )  # fmt: skip


def as_large(fields):
    return [f"encoders.sound.{field}" for field in fields]


def compare(theirs, spec, layout, folder, overrides=()):
    """As `agree`, but for the count of parameters: a plain weight has no lengths."""
    draw(theirs.eval())
    theirs.set_attn_implementation("eager")
    model = mmspec.build(ours_of(spec, overrides)).eval()
    loaded = mmspec.load_weights(model, written(theirs, folder / "state.safetensors"), layout=layout)
    assert compare_outputs(model, theirs, SOUND, OUTPUTS, {}) <= 1e-4
    return model, loaded


def test_wav2vec2_computes_what_transformers_computes(tmp_path):
    theirs = reference()
    model, loaded = compare(theirs, "wav2vec2_base", "transformers", tmp_path)
    assert loaded.layout == "transformers/wav2vec2"
    convolution = theirs.encoder.pos_conv_embed.conv
    assert torch.allclose(model.state_dict()["sound.position.weight"], convolution.weight, rtol=1e-5, atol=1e-6)

    state = {}  # as the files on the Hub have it
    for name, tensor in theirs.state_dict().items():
        name = name.replace("parametrizations.weight.original0", "weight_g")
        name = name.replace("parametrizations.weight.original1", "weight_v")
        state[f"wav2vec2.{name}"] = tensor.clone()
    save_file(state, tmp_path / "hub.safetensors")
    again = mmspec.build(mmspec.load("wav2vec2_base", (), "small"))
    mmspec.load_weights(again, tmp_path / "hub.safetensors")
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in again.state_dict().items())


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("original0", "it is joined with .*original0, which the file has not"),
        ("original", "from .*original0, .*original1"),
    ],
)
def test_half_a_normalised_weight_is_none(gone, said, tmp_path):
    state = {name: tensor.clone() for name, tensor in reference().state_dict().items() if gone not in name}
    save_file(state, tmp_path / "half.safetensors")
    model = mmspec.build(mmspec.load("wav2vec2_base", (), "small"))
    with pytest.raises(UserError, match=rf"1 missing\n +missing +sound\.position\.weight .*{said}"):
        mmspec.load_weights(model, tmp_path / "half.safetensors", layout="transformers/wav2vec2")


def test_the_large_form_has_its_norms_in_other_places(tmp_path):
    text = (FOLDER / "transformers" / "wav2vec2.yaml").read_text()
    assert "sound.embedding_norm" in text
    layout = tmp_path / "large.yaml"
    layout.write_text(text.replace("sound.embedding_norm", "sound.norm"))
    theirs = reference(do_stable_layer_norm=True, feat_extract_norm="layer", conv_bias=True)
    compare(theirs, "wav2vec2_base", str(layout), tmp_path, as_large(LARGE))


@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_with_its_weight_folded_it_has_our_parameters_and_flops(epsilon, tmp_path):
    theirs = reference(layer_norm_eps=epsilon)
    if epsilon != 1e-5:  # torch's own in its first norm, of each channel
        theirs.feature_extractor.conv_layers[0].layer_norm.eps = epsilon
    parametrize.remove_parametrizations(theirs.encoder.pos_conv_embed.conv, "weight")
    layout = tmp_path / "folded.yaml"
    text = (FOLDER / "transformers" / "wav2vec2.yaml").read_text()
    text = text.replace("pos_conv_embed.conv.bias: sound.position.bias", "pos_conv_embed.conv.{p}: sound.position.{p}")
    before, join, rest = text.partition("join:\n")
    layout.write_text(before + rest[rest.index("ignore:") :])
    assert join
    agree(
        theirs, "wav2vec2_base", SOUND, OUTPUTS, layout=str(layout), ignore=["masked_spec_embed"], published=False,
        overrides=[f"encoders.sound.norm_eps={epsilon}"],
    )  # fmt: skip


def test_wav2vec2_base_costs_what_transformers_counts():
    """But for the length of each of the 128 places of its convolution, and the vector that stands for what is masked in training."""
    with torch.device("meta"):
        theirs = sum(p.numel() for p in Wav2Vec2Model(Wav2Vec2Config()).parameters())
    price("wav2vec2_base", parameters=theirs - 128 - 768, flops=148_133_046_272)
