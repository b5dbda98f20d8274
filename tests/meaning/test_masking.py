"""Masked encoders keep the patches with the least noise and work on no more; decoders put everything back where it was."""

import pytest
import torch
from tiny_models import built

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read

VIT = "type: vit, patch_size: 4, width: 16, depth: 1, heads: 2"


def masked(encoder: str = "masked: 0.5, class_token: true", image: str = "16", noise: str = "16", decoder: str = ""):
    """Sixteen patches, of which the encoder keeps some."""
    return read(
        f"""
        name: masked
        inputs:
          image: {{type: image, size: {image}, channels: 1}}
          noise: {{type: noise, length: {noise}}}
        encoders: {{image: {{{VIT}, from: [image, noise], {encoder}}}}}
        decoders: {{rest: {{type: masked_autoencoder, from: [image, image.order], width: 8, depth: 1, heads: 2{decoder}}}}}
        heads: {{pixels: {{type: pixels, from: [rest, inputs.image, image.order]}}}}
        objectives: [{{type: masked_patches, head: pixels}}]
        outputs: [image.order, image.masked, image, rest.patches]
        """,
        CATALOGUE,
        origin="masked.yaml",
    )


def example(batch: int = 3):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(batch, 1, 16, 16, generator=generator), torch.rand(batch, 16, generator=generator)


@pytest.mark.parametrize(("share", "kept"), [("0.5", 8), ("0.75", 4), ("0.7", 4), ("0.1", 14)])
def test_the_patches_with_the_least_noise_are_kept(share, kept):
    image, noise = example()
    found = built(masked(f"masked: {share}"))(image=image, noise=noise)
    rank = (noise[:, :, None] > noise[:, None, :]).sum(dim=2)  # how many have less
    assert torch.equal(found["image.masked"], rank >= kept)
    assert torch.equal(found["image.order"].flatten(1), rank)
    assert found["image"].shape == (3, kept, 16)


def test_tokens_in_front_are_kept_and_counted():
    image, noise = example()
    model = built(masked("masked: 0.5, class_token: true, registers: 2"))
    found = model(image=image, noise=noise)
    assert found["image"].shape == (3, 1 + 2 + 8, 16)
    assert sorted(found["image.order"][0].flatten().tolist()) == list(range(3, 19))


def test_a_masked_patch_changes_nothing_that_is_said_of_others():
    image, noise = example(1)
    model = built(masked())
    before = model(image=image, noise=noise)
    place = int(noise.argmax())
    row, column = divmod(place, 4)
    other = image.clone()
    other[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 1
    assert torch.equal(model(image=other, noise=noise)["pixels"], before["pixels"])


def test_a_decoder_puts_tokens_back_where_they_were():
    image, noise = example(1)
    model = built(masked("masked: 0.5", decoder=", position: none"))
    with torch.no_grad():  # blocks that add nothing and norms that keep order: what goes in comes out
        for name, parameter in model.rest.blocks.named_parameters():
            if "output" in name or "down" in name:
                parameter.zero_()
    found = model(image=image, noise=noise)
    embedded = model.rest.norm(model.rest.embed(found["image"]))[0]
    absent = model.rest.norm(model.rest.mask_token)[0]
    for place, number in enumerate(found["image.order"][0].flatten().tolist()):
        expected = embedded[number] if number < len(embedded) else absent
        torch.testing.assert_close(found["rest.patches"][0, place], expected)


def test_without_noise_it_is_drawn_anew():
    image, _ = example(1)
    model = built(masked())
    torch.manual_seed(0)
    first, second = model(image=image)["image.masked"], model(image=image)["image.masked"]
    torch.manual_seed(0)
    again = model(image=image)["image.masked"]
    assert first.sum() == second.sum() == 8
    assert not torch.equal(first, second)
    assert torch.equal(first, again)


def test_blocks_cost_what_they_cost_for_as_many_tokens():
    def blocks(text: str, size: int) -> int:
        spec = read(
            f"{{name: cost, inputs: {{image: {{type: image, size: {size}, channels: 1}}}}, encoders: {{image: {{{VIT}{text}}}}}, "
            "outputs: [image]}",
            CATALOGUE,
        )
        patches = (size // 4) ** 2
        return mmspec.profile(spec)["flops.total"] - 2 * patches * 16 * 16  # the patch embedding sees all of them

    assert blocks(", masked: 0.75", 16) == blocks("", 8)


@pytest.mark.parametrize(
    ("spec", "message", "written"),
    [
        ({"noise": "9"}, "noise has 9 numbers for 16 patches", "[image, noise]"),
        ({"encoder": "class_token: true"}, "noise decides nothing: no patches are masked", "[image, noise]"),
        ({"encoder": "masked: 0.5, position: rotary"}, "position: rotary needs the whole grid", "rotary"),
        ({"encoder": "masked: 0.99"}, "of 16 patches, none is left", "0.99"),
    ],
)
def test_masks_that_cannot_be_are_located(spec, message, written):
    with pytest.raises(SpecError) as raised:
        mmspec.lower(masked(**spec))
    shown = str(raised.value)
    assert message in shown
    line, marks = next((a, b) for a, b in zip(shown.splitlines(), shown.splitlines()[1:], strict=False) if "^" in b)
    assert written in line[marks.index("^") : marks.rindex("^") + 1]
