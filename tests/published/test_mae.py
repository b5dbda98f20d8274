"""Masked autoencoders of transformers."""

import pytest
import torch
from peer import agree, draw, price, written
from transformers import ViTMAEConfig, ViTMAEForPreTraining
from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

import mmspec
from mmspec.backend import build_objectives

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 192,
    "image_size": 32,
    "patch_size": 8,
    "decoder_hidden_size": 32,
    "decoder_num_hidden_layers": 2,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 128,
}


def inputs():
    generator = torch.Generator().manual_seed(1)
    image, noise = torch.randn(2, 3, 32, 32, generator=generator), torch.rand(2, 16, generator=generator)
    return {"image": ("pixel_values", image), "noise": ("noise", noise)}


def test_mae_computes_what_transformers_computes():
    agree(ViTMAEForPreTraining(ViTMAEConfig(**SIZES)), "mae_b", inputs(), {"pixels": "logits"})


def test_the_epsilon_of_every_norm_of_mae_is_the_published_one():
    epsilons = ["encoders.image.norm_eps=0.1", "decoders.rest.norm_eps=0.1"]
    reference = ViTMAEForPreTraining(ViTMAEConfig(**SIZES, layer_norm_eps=0.1))
    agree(reference, "mae_b", inputs(), {"pixels": "logits"}, overrides=epsilons)


@pytest.mark.parametrize("normalised", [False, True])
def test_the_loss_of_mae_and_its_gradients_are_the_published_ones(normalised, tmp_path):
    reference = ViTMAEForPreTraining(ViTMAEConfig(**SIZES, norm_pix_loss=normalised))
    draw(reference)
    spec = mmspec.load("mae_b", [f"objectives.0.norm_pix_loss={str(normalised).lower()}"], "small")
    model = mmspec.build(spec).train()
    mmspec.load_weights(model, written(reference, tmp_path / "state.safetensors"))
    outputs = model(**{name: x for name, (_, x) in inputs().items()})
    theirs = reference(**dict(inputs().values()))
    loss = build_objectives(spec)(outputs, {})["total"]
    assert torch.equal(outputs["image.masked"], theirs.mask.bool())
    assert loss.item() == pytest.approx(theirs.loss.item(), rel=1e-6)
    loss.backward()
    theirs.loss.backward()
    for ours, expected in (
        (model.image.patches.weight.grad, reference.vit.embeddings.patch_embeddings.projection.weight.grad),
        (model.rest.mask_token.grad, reference.decoder.mask_token.grad[0]),
        (model.pixels.output.weight.grad, reference.decoder.decoder_pred.weight.grad),
    ):
        assert (ours - expected).abs().max() <= 1e-5 * expected.std()


def test_positions_start_as_the_published_waves_with_zeros_for_the_class_token():
    model = mmspec.build(mmspec.load("mae_b", variant="small"))
    waves = build_2d_sinusoidal_position_embedding(4, 4, 48, cls_token=True)
    down, across = waves.chunk(2, dim=1)  # published weights have columns first
    assert torch.equal(model.image.position, torch.cat([across, down], dim=1))
    assert not model.image.position.requires_grad


def test_mae_b_costs_what_is_published():
    price("mae_b", parameters=111_907_840, flops=19_562_266_624)


def test_the_encoder_alone_loads_into_a_vit_that_sees_every_patch(tmp_path):
    reference = ViTMAEForPreTraining(ViTMAEConfig(**SIZES, mask_ratio=0.0))
    draw(reference)
    file = written(reference, tmp_path / "state.safetensors")
    model = mmspec.build(mmspec.load("dino_s16", ["encoders.image.position=sinusoidal_2d"], "small")).eval()
    mmspec.load_weights(model, file, node="image")
    reference.eval()
    image = inputs()["image"][1]
    theirs = reference.vit(image, noise=torch.arange(16.0).expand(2, -1)).last_hidden_state
    assert (model(image=image)["image"] - theirs).abs().max() <= 1e-4 * theirs.std()
