"""What a transformer over a sound reads, and how far its stem reaches."""

import pytest
import torch

import mmspec
from mmspec.backend import build
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read
from mmspec.testing import check_spec, randomise

WAV2VEC = "kernels: [10, 3, 3, 3, 3, 2, 2], strides: [5, 2, 2, 2, 2, 2, 2], stem_padding: false, stem_bias: false"


def spec(sound, fields, head="sound", more=""):
    return read(
        f"""
        name: listening
        inputs: {{sound: {sound}}}
        encoders:
          sound: {{type: audio_transformer, width: 16, depth: 1, heads: 2, {fields}}}
          {more}
        heads: {{label: {{type: classification, classes: 3, from: {head}}}}}
        outputs: [{head}]
        """,
        CATALOGUE,
    )


def test_whispers_stem_halves_the_moments_and_wav2vecs_leaves_one_in_320():
    """Of 400 samples each, 320 apart, as wav2vec 2.0 says (sec. 4.2): (16000 - 400) / 320 + 1 = 49 for a second."""
    whisper = mmspec.lower(spec("{type: spectrogram, mels: 8, frames: 30}", "position: sinusoidal"))
    assert whisper.outputs["sound"].shape[1] == 15
    raw = mmspec.lower(spec("{type: waveform, seconds: 1}", WAV2VEC))
    assert raw.outputs["sound"].shape[1] == 49


def test_a_moment_of_a_raw_waveform_hears_its_own_400_samples():
    model = build(spec("{type: waveform, seconds: 0.1}", f"{WAV2VEC}, channels: 4, final_norm: false")).eval()
    randomise(model)
    with torch.no_grad():
        model.sound.blocks[0].attention.output.weight.zero_()  # moments do not tell each other
    sound = torch.randn(1, 1600, generator=torch.Generator().manual_seed(0)).requires_grad_()
    heard = model(sound=sound)["sound"]
    assert heard.shape[1] == (1600 - 400) // 320 + 1
    for moment in range(heard.shape[1]):
        (gradient,) = torch.autograd.grad(heard[0, moment].square().sum(), sound, retain_graph=True)
        (places,) = gradient[0].nonzero(as_tuple=True)
        assert places.min() >= 320 * moment
        assert places.max() < 320 * moment + 400
        assert len(places) > 300


@pytest.mark.parametrize("norm", ["none", "channel", "layer"])
@pytest.mark.parametrize("projection", ["false", "true"])
def test_every_stem_is_what_its_graph_says(norm, projection):
    fields = f"kernels: [8, 3], strides: [4, 2], channels: 12, stem_norm: {norm}, stem_projection: {projection}"
    check_spec(spec("{type: waveform, rate: 800, seconds: 0.1}", fields), gradients=False)


def test_wav2vec_2s_stem_is_transformers():
    """The seven layers, the group norm after the first, the norm and the projection to the width of tokens."""
    from transformers import Wav2Vec2Config
    from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2FeatureEncoder, Wav2Vec2FeatureProjection

    config = Wav2Vec2Config(conv_dim=(12,) * 7, hidden_size=16)
    theirs = Wav2Vec2FeatureEncoder(config).eval(), Wav2Vec2FeatureProjection(config).eval()
    fields = f"{WAV2VEC}, channels: 12, stem_norm: channel, stem_projection: true, position: none"
    ours = build(spec("{type: waveform, seconds: 0.1}", fields)).eval()
    for module in theirs:
        randomise(module)
    state = dict(ours.state_dict())
    for i, layer in enumerate(theirs[0].conv_layers):
        state[f"sound.stem{i}.weight"] = layer.conv.weight
    for ends in ("weight", "bias"):
        state[f"sound.stem_norm0.{ends}"] = getattr(theirs[0].conv_layers[0].layer_norm, ends)
        state[f"sound.projection_norm.{ends}"] = getattr(theirs[1].layer_norm, ends)
        state[f"sound.projection.{ends}"] = getattr(theirs[1].projection, ends)
    ours.load_state_dict(state)
    entered = []
    ours.sound.blocks[0].register_forward_pre_hook(lambda module, given: entered.append(given[0]))
    sound = torch.randn(2, 1600, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours(sound=sound)
        expected = theirs[1](theirs[0](sound).mT)[0]
    assert (entered[0] - expected).abs().max() <= 1e-5 * expected.std()


def test_a_spectrogram_made_in_the_model_is_read_like_one_that_enters():
    """Whisper from the waveform: the front end has no parameters, and the rest is the same network."""
    made = read(
        """
        name: raw
        inputs: {wave: {type: waveform, seconds: 30}}
        encoders:
          mel: {type: log_mel, from: wave, frames: 3000}
          sound: {type: audio_transformer, from: mel, width: 384, depth: 4, heads: 6, key_bias: false,
                  position: {type: sinusoidal, order: halves, last: true}}
        outputs: [sound]
        heads: {label: {type: classification, classes: 2, from: sound}}
        """,
        CATALOGUE,
    )
    price, published = mmspec.profile(made), mmspec.profile(mmspec.load("whisper_tiny"))
    of = {node.name: node for node in price.nodes}
    assert of["sound"].parameters == next(n.parameters for n in published.nodes if n.name == "sound")
    assert of["mel"].parameters == 0
    # 201 frequencies, cosine and sine, over windows of 400 samples at 3001 moments; then 80 bands
    assert of["mel"].flops == 2 * 3001 * (402 * 400 + 201 * 80)


@pytest.mark.parametrize(
    ("sound", "fields", "said"),
    [
        ("{type: text}", "", "an audio_transformer reads a sound or a spectrogram, and this is token ids"),
        (
            "{type: waveform, rate: 100, seconds: 0.05}",
            "kernels: [9, 3], stem_padding: false",
            "a kernel of 9 is larger",
        ),
    ],
)
def test_what_is_no_sound_is_an_error(sound, fields, said):
    with pytest.raises(SpecError, match=said):
        mmspec.lower(spec(sound, fields))


def test_a_stem_has_a_stride_for_each_kernel():
    with pytest.raises(SpecError, match="2 strides for 3 kernels"):
        spec("{type: waveform}", "kernels: [3, 3, 3]")
