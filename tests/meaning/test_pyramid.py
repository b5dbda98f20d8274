"""Who sees whom in a pyramid: windows, shifted windows, smaller maps of keys, patches' places; what its ports and rates are."""

import re

import pytest
import torch
import torch.nn.functional as F
from tiny_models import assert_agree, built
from torch import Tensor

import mmspec
from mmspec.backend.runtime import DropPath
from mmspec.components import CATALOGUE
from mmspec.spec import ModelSpec, SpecError, read
from mmspec.testing import check_spec

SIDE = 4  # of the map
LEAK = 1e-20  # places that meet only because the map is rolled weigh e^-100


PIXELS = "{type: patches, size: 1, norm: false}"  # a place of the first map is a pixel


def pyramid(*stages: str, stem: str = PIXELS, size: int = SIDE, more: str = "", outputs: str = "image") -> ModelSpec:
    listed = "".join(f"\n      - {stage}" for stage in stages)
    return read(
        f"name: tiny\ninputs: {{image: {{type: image, size: {size}, channels: 2}}}}\n"
        f"encoders:\n  image:\n    type: pyramid\n    stem: {stem}{more}\n    stages:{listed}\n"
        "heads: {label: {type: classification, classes: 3}}\n"
        f"outputs: [{outputs}]\n",
        CATALOGUE,
    )


def transformer(more: str, depth: int = 1) -> str:
    return f"{{type: transformer, width: 8, heads: 2, expansion: 1, depth: {depth}, {more}}}"


def seen(spec: ModelSpec) -> Tensor:
    """Which pixels move which tokens, where the stem looks at one pixel for each.   bool[N, N]"""
    model = built(spec).double()
    image = torch.randn(
        1, 2, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    ).requires_grad_()
    tokens = model(image=image)["image"][0]
    direction = torch.randn(tokens.shape[1], dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    rows = [torch.autograd.grad(token @ direction, image, retain_graph=True)[0].abs().amax((0, 1)) for token in tokens]
    return torch.stack(rows).flatten(1) > LEAK


def together(window: int, shift: int = 0) -> Tensor:
    """Which places share a window, when windows begin at `shift` and are cut off by the borders of the map.   bool[N, N]"""
    side = torch.arange(SIDE)
    number = (side - shift).div(window, rounding_mode="floor")
    place = (number[:, None] * 100 + number).flatten()
    return place[:, None] == place


def test_a_place_sees_its_own_window_only() -> None:
    assert seen(pyramid(transformer("attention: {type: shifted_window, window: 2}"))).equal(together(2))


def test_windows_of_the_second_block_lie_across_those_of_the_first() -> None:
    found = seen(pyramid(transformer("attention: {type: shifted_window, window: 2}", depth=2)))
    expected = (together(2, shift=1).double() @ together(2).double()) > 0
    assert found.equal(expected) and not found.all()


def test_a_shift_of_zero_keeps_windows_where_they_are() -> None:
    assert seen(pyramid(transformer("attention: {type: shifted_window, window: 2, shift: 0}", depth=2))).equal(
        together(2)
    )


def test_a_map_not_larger_than_the_window_is_one_window() -> None:
    assert seen(pyramid(transformer("attention: {type: shifted_window, window: 7}"))).all()


def test_one_window_is_full_attention() -> None:
    specs = [
        pyramid(transformer(f"attention: {attention}", depth=2))
        for attention in ("{type: shifted_window, window: 4}", "full")
    ]
    image = torch.randn(2, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    windows, full = (built(spec)(image=image)["image"] for spec in specs)
    assert_agree(windows, full)


def test_a_window_costs_its_share_of_full_attention() -> None:
    price = {
        attention: mmspec.profile(pyramid(transformer(f"attention: {attention}")))["flops.total"]
        for attention in ("full", "{type: shifted_window, window: 2}")
    }
    scores = 2 * 16 * 16 * (8 + 8)  # products of queries with keys and of weights with values
    full, windows = price.values()
    assert full - windows == scores - scores // 4


def test_positions_in_windows_are_those_inside_a_window() -> None:
    """Two windows that look the same give the same tokens, wherever they stand."""
    model = built(pyramid(transformer("position: relative_bias, attention: {type: shifted_window, window: 2}")))
    window = torch.randn(1, 2, 2, 2, generator=torch.Generator().manual_seed(1))
    tokens = model(image=window.repeat(1, 1, 2, 2))["image"].unflatten(1, (SIDE, SIDE))
    assert_agree(tokens[:, :2, :2], tokens[:, 2:, 2:])
    turned = model(image=window.flip(3).repeat(1, 1, 2, 2))["image"].unflatten(1, (SIDE, SIDE))
    assert (turned.flip(2) - tokens).abs().max() > 0.01  # a bias knows left from right


def test_every_place_sees_every_patch_of_a_spatial_reduction() -> None:
    assert seen(pyramid(transformer("attention: {type: spatial_reduction, ratio: 2}"))).all()


def test_a_spatial_reduction_has_a_key_for_each_patch() -> None:
    """Weights of a convolution that picks one pixel of a patch leave the others unseen."""
    model = built(pyramid(transformer("attention: {type: spatial_reduction, ratio: 2}"))).double()
    reduction = model.get_submodule("image.stage1.blocks.0.attention.reduction")
    reduction.weight.data[:, :, 1], reduction.weight.data[:, :, :, 1] = 0, 0
    image = torch.randn(1, 2, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    other = image.clone()
    other[:, :, 1, 1] += 1  # the last pixel of the first patch
    before, after = model(image=image)["image"][0], model(image=other)["image"][0]
    moved = (before - after).abs().amax(1) > 1e-12
    assert moved.tolist() == [n == SIDE + 1 for n in range(SIDE**2)]  # itself alone


def test_places_that_lie_a_patch_apart_see_each_other_in_a_mobilevit() -> None:
    stage = "{type: mobilevit, width: 8, token_width: 8, heads: 2, depth: 1, kernel: 1, patch_size: 2}"
    y, x = torch.arange(SIDE**2) // SIDE % 2, torch.arange(SIDE**2) % 2
    assert seen(pyramid(stage)).equal((y[:, None] == y) & (x[:, None] == x))


def test_a_convnext_block_sees_half_a_kernel_around() -> None:
    y, x = torch.arange(SIDE**2) // SIDE, torch.arange(SIDE**2) % SIDE
    near = ((y[:, None] - y).abs() <= 1) & ((x[:, None] - x).abs() <= 1)
    assert seen(pyramid("{type: convnext, width: 8, depth: 1, kernel: 3, layer_scale: 1.0}")).equal(near)


def test_a_depthwise_convolution_in_the_feed_forward_sees_half_a_kernel_around() -> None:
    y, x = torch.arange(SIDE**2) // SIDE, torch.arange(SIDE**2) % SIDE
    near = ((y[:, None] - y).abs() <= 1) & ((x[:, None] - x).abs() <= 1)
    stage = transformer("depthwise: 3, attention: {type: shifted_window, window: 1}")
    assert seen(pyramid(stage)).equal(near)


def test_merged_neighbours_stand_in_the_published_order() -> None:
    """Columns of the linear layer: above left, below left, above right, below right."""
    model = built(pyramid("{type: convolution, width: 2, depth: 1, kernel: 1, norm: none, downsample: merge}"))
    merging = model.get_submodule("image.stage1.downsample")
    image = torch.randn(1, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    found = []
    merging.register_forward_hook(lambda module, arguments, result: found.append((arguments[0], result)))
    model(image=image)
    ((before, after),) = found
    four = torch.cat([before[:, :, i::2, j::2] for i, j in ((0, 0), (1, 0), (0, 1), (1, 1))], dim=1).movedim(1, -1)
    assert_agree(after.movedim(1, -1), merging.reduction(merging.norm(four)))


def test_ports_are_the_maps_after_each_stage_and_the_value_is_the_last_as_tokens() -> None:
    stages = (
        "{type: convnext, width: 8, depth: 1}",
        "{type: convnext, width: 12, depth: 1, downsample: {type: patches, size: 2}}",
    )
    ports = ", ".join(f"image.{what}{i}" for what in ("stage", "tokens") for i in (1, 2))
    outputs = built(pyramid(*stages, outputs=f"image, {ports}"))(image=torch.randn(2, 2, SIDE, SIDE))
    assert outputs["image.stage1"].shape == (2, 8, 4, 4)
    assert outputs["image.stage2"].shape == (2, 12, 2, 2)
    assert outputs["image"].equal(outputs["image.stage2"].flatten(2).mT)
    for i in (1, 2):
        assert outputs[f"image.tokens{i}"].equal(outputs[f"image.stage{i}"].flatten(2).mT)


def test_a_fusion_and_a_head_read_several_scales() -> None:
    check_spec(
        read(
            """
            name: scales
            inputs: {image: {type: image, size: 16}, text: {type: text, vocab_size: 20, length: 6}}
            encoders:
              image: {type: pyramid, stages: [{type: convnext, width: 8}, {type: convnext, width: 12, downsample: merge}]}
              text: {type: text_transformer, width: 8, depth: 1, heads: 2}
            fusion:
              joint: {type: cross_attention, from: [text, image.tokens1, image.tokens2], depth: 1, heads: 2}
            heads:
              label: {type: classification, classes: 3, from: joint}
              fine: {type: classification, classes: 3, from: image.tokens1}
            objectives:
              - {type: cross_entropy, head: label, target: answer}
              - {type: cross_entropy, head: fine, target: answer}
            """,
            CATALOGUE,
        )
    )


def test_blocks_are_skipped_the_more_the_deeper_they_are_over_all_stages() -> None:
    stages = (
        "{type: convnext, width: 8, depth: 2}",
        transformer("attention: full", depth=2),
        "{type: convnext, width: 8, depth: 1}",
    )
    model = built(pyramid(*stages, more="\n    drop_path: 0.4"))
    rates = [module.p for module in model.modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx(
        [0.1, 0.2, 0.2, 0.3, 0.3, 0.4]
    )  # blocks two to five; a transformer's has two branches


def test_a_stage_may_have_a_rate_of_its_own() -> None:
    stages = ("{type: convnext, width: 8, depth: 2, drop_path: 0.3}", "{type: convnext, width: 8, depth: 2}")
    model = built(pyramid(*stages, more="\n    drop_path: 0.3"))
    assert [m.p for m in model.modules() if isinstance(m, DropPath)] == pytest.approx([0.3, 0.2, 0.3])


def test_convolutions_and_attention_stand_in_any_order() -> None:
    check_spec(
        pyramid(
            "{type: residual, width: 16, depth: 2}",
            "{type: inverted_residual, width: 12, depth: 2, stride: 2}",
            transformer("attention: {type: shifted_window, window: 2}, downsample: {type: patches, size: 1}", depth=2),
            "{type: mobilevit, width: 16, token_width: 8, heads: 2, depth: 1, downsample: inverted_residual}",
            "{type: convnext, width: 8, depth: 1, downsample: merge}",
            stem="{type: convolutions, widths: [8, 8], strides: [1], projection: true}",
            size=16,
        )
    )


@pytest.mark.parametrize("norm", ["batch", "group, norm_groups: 2", "layer"])
@pytest.mark.parametrize("bottleneck", ["4", "null"])
def test_a_fresh_residual_block_adds_nothing(norm: str, bottleneck: str) -> None:
    stage = f"{{type: residual, width: 16, depth: 3, bottleneck: {bottleneck}, norm: {norm}}}"
    model = mmspec.build(pyramid(stage, size=16)).eval()
    blocks = [block for name, block in model.named_modules() if re.fullmatch(r".*\.stage1\.blocks\.\d+", name)]
    assert len(blocks) == 2
    x = torch.rand(2, 16, 16, 16)
    with torch.no_grad():
        for block in blocks:
            assert block(x).equal(x)


WINDOW = "attention: {type: shifted_window, window: "


@pytest.mark.parametrize(
    ("stage", "message", "at"),
    [
        (transformer(f"{WINDOW}3}}"), "windows of 3 do not tile a map of 4 x 4", "3"),
        (transformer("attention: {type: spatial_reduction, ratio: 3}"), "patches of 3 do not tile a map of 4 x 4", "3"),
        ("{type: convnext, downsample: {type: patches, size: 3}}", "patches of 3 do not tile a map of 4", "3"),
        ("{type: residual, width: 9, norm: group, norm_groups: 6}", "6 groups do not divide 2 channels", "6"),
        ("{type: mobilevit, width: 96, patch_size: 3}", "patches of 3 do not tile a map of 4 x 4", "3"),
        ("{type: convnext, kernel: 6}", "a kernel of 6 has no middle", "6"),
        (transformer(f"{WINDOW}2, shift: 5}}"), "windows of 2 are shifted by less than that, not by 5", "5"),
        (transformer("class_token: true, depthwise: 3"), "a depthwise convolution looks at whole maps", "3"),
        (transformer(f"class_token: true, {WINDOW}2}}"), "class tokens stand in none", "{type: shifted_window, window: 2}"),
        ("{type: convnext, width: 12}", "a convnext stage of 12 channels is handed 8", "12"),
    ],
)  # fmt: skip
def test_what_does_not_fit_a_map_is_an_error_where_it_is_written(stage: str, message: str, at: str) -> None:
    before = ["{type: convnext, width: 8, depth: 1}"] if "handed" in message else []
    with pytest.raises(SpecError) as error:
        mmspec.lower(pyramid(*before, stage))
    (problem,) = error.value.diagnostics
    assert message in problem.message
    assert problem.position is not None
    source, line, start, _, end = problem.position
    assert source.text.splitlines()[line - 1][start - 1 : end - 1] == at


def test_windows_that_do_not_tile_are_filled_up_where_the_spec_says_so() -> None:
    check_spec(pyramid(transformer("attention: {type: shifted_window, window: 3, pad: true}", depth=2), size=7))


def convolution(more: str, size: int = 7) -> tuple[torch.nn.Module, Tensor, Tensor]:
    """The convolution of a stage of one, an image, and the map that comes of it without a norm and an activation that shows."""
    model = built(
        pyramid(f"{{type: convolution, width: 4, depth: 1, norm: none, {more}}}", stem="none", size=size)
    ).double()
    image = torch.randn(2, 2, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    layer = model.get_submodule("image.stage1.first.convolution")
    return layer, image, model(image=image)["image"].mT.unflatten(2, (-1, -(-size // 2)))


def test_standardized_filters_have_no_mean_and_a_variance_of_one() -> None:
    layer, image, found = convolution("stride: 2, standardize: 0.01")
    weight = layer.weight.flatten(1)
    weight = (weight - weight.mean(1, keepdim=True)) / (weight.var(1, correction=0, keepdim=True) + 0.01).sqrt()
    expected = F.conv2d(image, weight.view_as(layer.weight), layer.bias, stride=2, padding=1).relu()
    assert_agree(found, expected)


@pytest.mark.parametrize(("size", "around"), [(7, (1, 1, 1, 1)), (8, (0, 1, 0, 1))])
def test_same_padding_lays_as_little_around_a_map_as_its_places_need(size: int, around: tuple[int, ...]) -> None:
    layer, image, found = convolution("stride: 2, padding: same", size)
    assert_agree(found, F.conv2d(F.pad(image, around), layer.weight, layer.bias, stride=2).relu())


def test_a_pool_of_a_stem_never_picks_what_was_laid_around_the_map() -> None:
    stem = "{type: convolutions, widths: [8], kernel: 1, strides: [1], norm: none, activation: silu, padding: same, pool: true}"
    model = built(pyramid("{type: convnext, width: 8, depth: 1}", stem=stem, size=8))
    with torch.no_grad():
        model.image.stem.convolution1.bias.fill_(-1.0)
        model.image.stem.convolution1.weight.zero_()
        found = model.image.stem(torch.randn(1, 2, 8, 8))
    assert_agree(
        found + torch.arange(16.0).view(4, 4),
        F.silu(torch.tensor(-1.0)) + torch.arange(16.0).view(4, 4).expand_as(found),
    )


def test_a_hybrid_hands_over_at_the_stage_that_it_names() -> None:
    spec = read(
        """
        name: hybrid
        inputs: {image: {type: image, size: 8}}
        encoders:
          cnn:
            type: pyramid
            from: inputs.image
            stem: {type: patches, size: 1}
            stages: [{type: convnext, width: 8, depth: 1}, {type: convnext, width: 12, depth: 1, downsample: merge}]
          image: {type: vit, from: cnn.stage1, patch_size: 2, width: 8, depth: 1, heads: 2}
        heads: {label: {type: classification, classes: 3, from: image}}
        """,
        CATALOGUE,
    )
    model = built(spec)
    assert model.image.patches.weight.shape == (8, 8, 2, 2)
    check_spec(spec)
