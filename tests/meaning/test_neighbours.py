"""Positions that a convolution tells, and a convolutional stem, against their formulas."""

import pytest
import torch
import torch.nn.functional as F
from tiny_models import built

from mmspec.components import CATALOGUE
from mmspec.spec import read
from mmspec.testing import check_spec


def encoded(encoder: str, size: int = 12, more: str = "", text: str = ""):
    inputs = (
        f"image: {{type: image, size: {size}, channels: 2}}"
        if not text
        else "image: {type: text, vocab_size: 11, length: 6}"
    )
    return read(
        f"{{name: near, inputs: {{{inputs}}}, encoders: {{image: {{{encoder}, width: 8, depth: 1, heads: 2}}{more}}}, outputs: [image]}}",
        CATALOGUE,
    )


def without_blocks(model):
    """Blocks that add nothing: what leaves the encoder is what came in, normalised."""
    with torch.no_grad():
        for name, parameter in model.image.blocks.named_parameters():
            if "output" in name or "down" in name:
                parameter.zero_()
    return model


@pytest.mark.parametrize("kernel", [3, 4])
def test_a_convolution_over_the_grid_tells_patches_where_they_are(kernel):
    position = f"{{type: convolutional, kernel: {kernel}}}"
    model = without_blocks(built(encoded(f"type: vit, patch_size: 4, class_token: true, position: {position}")))
    image = torch.randn(2, 2, 12, 12, generator=torch.Generator().manual_seed(1))
    patches = F.conv2d(image, model.image.patches.weight, model.image.patches.bias, stride=4)
    layer = model.image.position
    told = F.conv2d(patches, layer.weight, layer.bias, padding=kernel // 2, groups=8)[:, :, :3, :3]
    first = model.image.class_token.expand(2, -1, -1)  # it has no neighbours
    tokens = torch.cat([first, (patches + told).flatten(2).transpose(1, 2)], dim=1)
    torch.testing.assert_close(model(image=image)["image"], model.image.norm(tokens))


def test_a_convolution_over_a_row_tells_words_apart_and_sees_no_padding():
    position = "{type: convolutional, kernel: 3, groups: 4, activation: gelu}"
    spec = encoded(f"type: text_transformer, position: {position}", text="yes")
    check_spec(spec)
    model = without_blocks(built(spec))
    ids = torch.tensor([[3, 3, 5, 0, 0, 0]])
    table, layer = model.image.embedding, model.image.position
    words = F.embedding(ids[:, :3], table).transpose(1, 2)
    told = F.gelu(F.conv1d(words, layer.weight, layer.bias, padding=1, groups=4))
    expected = model.image.norm((words + told).transpose(1, 2))
    torch.testing.assert_close(model(image=ids)["image"][:, :3], expected)
    torch.testing.assert_close(model(image=ids[:, :3])["image"], expected)
    assert not torch.allclose(expected[0, 0], expected[0, 1])  # one word in two places


def test_a_stem_is_convolutions_norms_and_activations_in_a_row():
    stem = ", stem: {type: conv_stem, from: inputs.image, widths: [4, 6], strides: [2, 1]}"
    model = built(encoded("type: vit, from: stem, patch_size: 1", 6, stem)).train()
    image = torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    x = image
    for number, stride in enumerate((2, 1), 1):
        layer, norm = (getattr(model.stem, f"convolution{number}{what}") for what in ("", "_norm"))
        x = F.conv2d(x, layer.weight, stride=stride, padding=1)
        mean, var = x.mean(dim=(0, 2, 3), keepdim=True), x.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
        shaped = (norm.weight[:, None, None], norm.bias[:, None, None])
        x = F.relu((x - mean) / (var + 1e-5).sqrt() * shaped[0] + shaped[1])
    torch.testing.assert_close(model.stem(image), x)
    assert model(image=image)["image"].shape == (3, 9, 8)
