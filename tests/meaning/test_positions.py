"""Positions against their formulas, element by element, and what each is for."""

import math

import pytest
import torch
from pieces import piece
from reference import Weights, linear
from tiny_models import assert_agree, built, example, spec
from torch import Tensor, nn

import mmspec
from mmspec.backend.runtime import tables
from mmspec.components.positions.base import SEQUENCE, Layout
from mmspec.components.positions.relative import Rotary


def encoder(name: str, options: str) -> nn.Module:
    """One encoder with these options and a head that reads its tokens."""
    kind = "vit, patch_size: 4" if name == "image" else "text_transformer"
    text = f"{{type: {kind}, width: 16, depth: 2, heads: 2, {options}}}"
    return built(spec(streams=[name], encoders={name: text}, outputs=[name]))


# waves ------------------------------------------------------------------------------------------------------------------


def waves(place: int, width: int, base: float, last: bool, order: str) -> list[float]:
    count = width // 2
    angles = [place / base ** (k / (count - 1 if last else count)) for k in range(count)]
    if order == "halves":
        return [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return [wave(a) for a in angles for wave in (math.sin, math.cos)]


@pytest.mark.parametrize("order", ["interleaved", "halves"])
@pytest.mark.parametrize("last", [False, True])
def test_sinusoidal_positions_are_sines_and_cosines_of_the_place(order: str, last: bool) -> None:
    said = f"{{type: sinusoidal, base: 50, order: {order}, last: {str(last).lower()}}}"
    text = f"{{type: text_transformer, width: 16, depth: 1, heads: 2, position: {said}}}"
    table = mmspec.build(spec(streams=["text"], encoders={"text": text})).text.position
    assert_agree(table, torch.tensor([waves(place, 16, 50.0, last, order) for place in range(6)]))
    assert not table.requires_grad, "it is kept with the weights, not trained"


@pytest.mark.parametrize("combine", ["concat", "add"])
def test_waves_on_a_grid_are_those_of_the_column_and_of_the_row(combine: str) -> None:
    options = f"{{type: vit, patch_size: 4, width: 16, depth: 1, heads: 2, class_token: true, position: {{type: sinusoidal_2d, combine: {combine}}}}}"
    model = mmspec.build(spec(streams=["image"], encoders={"image": options}))
    table = model.image.position
    assert table[0].eq(0).all(), "the class token stands nowhere"
    for row in range(3):
        for column in range(3):
            if combine == "add":
                across, down = (waves(place, 16, 1e4, False, "halves") for place in (column, row))
                expected = [a + d for a, d in zip(across, down, strict=True)]
            else:
                expected = waves(column, 8, 1e4, False, "halves") + waves(row, 8, 1e4, False, "halves")
            assert_agree(table[1 + row * 3 + column], torch.tensor(expected))


# biases of scores -------------------------------------------------------------------------------------------------------


def test_each_offset_on_a_grid_has_a_bias_of_its_own_and_equal_offsets_share_it() -> None:
    rows, columns = 2, 3
    index = tables.window_index(rows, columns)
    places = [(y, x) for y in range(rows) for x in range(columns)]
    offsets = {}
    for q, (qy, qx) in enumerate(places):
        for k, (ky, kx) in enumerate(places):
            assert offsets.setdefault((qy - ky, qx - kx), int(index[q, k])) == index[q, k]
            assert index[q, k] == (qy - ky + rows - 1) * (2 * columns - 1) + qx - kx + columns - 1
    assert sorted(offsets.values()) == list(range((2 * rows - 1) * (2 * columns - 1)))


def scores_with(w: Weights, x: Tensor, heads: int, bias: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d) + bias) v, head by head."""
    q, k, v = (linear(w.at(name), x).unflatten(-1, (heads, -1)) for name in ("query", "key", "value"))
    mixed = []
    for head in range(heads):
        scores = q[:, :, head] @ k[:, :, head].transpose(1, 2) / math.sqrt(q.shape[-1]) + bias[head]
        mixed.append(scores.softmax(-1) @ v[:, :, head])
    return linear(w.at("output"), torch.cat(mixed, dim=-1))


def attention_of(model: nn.Module, name: str, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """What the second block's attention was given, and what it gave."""
    seen = {}
    handle = model.get_submodule(f"{name}.blocks.1.attention").register_forward_hook(
        lambda module, args, result: seen.update(x=args[0], y=result)
    )
    model(**inputs)
    handle.remove()
    return seen["x"].double(), seen["y"]


def test_a_relative_bias_is_added_to_the_scores_of_each_head() -> None:
    model, inputs = encoder("image", "position: relative_bias"), example(["image"])
    x, y = attention_of(model, "image", inputs)
    w = Weights.of(model).at("image.blocks.1.attention")
    bias = torch.empty(2, 9, 9, dtype=torch.float64)
    for q in range(9):
        for k in range(9):
            down, across = q // 3 - k // 3, q % 3 - k % 3
            bias[:, q, k] = w["relative_bias"][(down + 2) * 5 + across + 2]
    assert_agree(y, scores_with(w, x, 2, bias))


@pytest.mark.parametrize("both_ways", [True, False])
@pytest.mark.parametrize(("buckets", "largest"), [(32, 128), (8, 20), (16, 64)])
def test_buckets_of_distances_are_t5s(both_ways: bool, buckets: int, largest: int) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    found = tables.distance_buckets(300, buckets, largest, both_ways)
    distance = torch.arange(-299, 300)  # key minus query
    expected = T5Attention._relative_position_bucket(distance, both_ways, buckets, largest)
    assert found.equal(expected)


def test_all_blocks_share_one_table_of_bucket_biases() -> None:
    model = encoder("text", "position: {type: relative_buckets, buckets: 4, largest: 5}")
    inputs = {"text": torch.randint(1, 11, (3, 6), generator=torch.Generator().manual_seed(1))}
    x, y = attention_of(model, "text", inputs)
    w = Weights.of(model)
    assert [name for name in w.tensors if "relative" in name] == ["text.relative_bias"]
    bias = torch.empty(2, 6, 6, dtype=torch.float64)
    for q in range(6):
        for k in range(6):  # two buckets each way: the place itself and what is further
            bias[:, q, k] = w["text.relative_bias"][2 + 1 if k > q else int(k < q)]
    assert_agree(y, scores_with(w.at("text.blocks.1.attention"), x, 2, bias))


# rotations --------------------------------------------------------------------------------------------------------------


def turned(layout: Layout, order: str, tokens: int, width: int = 8) -> nn.Module:
    """Vectors [B, h, N, d], each turned to its place."""
    rotary = Rotary(order=order, base=100.0)

    def body(g, x):
        return rotary.turned(g, x, rotary.shared(g, g.emit("merge_heads", x), layout, 1, width, False), layout)

    return piece(body, x=(1, 1, tokens, width))


def everywhere(vector: Tensor, tokens: int) -> Tensor:
    return vector.expand(1, 1, tokens, -1)


@pytest.mark.parametrize("order", ["halves", "interleaved"])
def test_rotary_products_depend_on_the_distance_alone(order: str) -> None:
    model, (q, k) = turned(SEQUENCE, order, 7), torch.randn(2, 8, generator=torch.Generator().manual_seed(2))
    products = model(everywhere(q, 7))[0, 0] @ model(everywhere(k, 7))[0, 0].T
    by_distance = [products.diagonal(offset) for offset in range(-6, 7)]
    assert all((same - same[0]).abs().max() < 1e-5 for same in by_distance)
    assert torch.stack([same[0] for same in by_distance]).std() > 0.1, "and they do depend on it"


def test_on_a_grid_rotary_products_depend_on_both_offsets() -> None:
    model, (q, k) = turned(Layout((3, 4)), "halves", 12), torch.randn(2, 8, generator=torch.Generator().manual_seed(2))
    products = model(everywhere(q, 12))[0, 0] @ model(everywhere(k, 12))[0, 0].T
    seen: dict[tuple[int, int], float] = {}
    for a in range(12):
        for b in range(12):
            offset = (a // 4 - b // 4, a % 4 - b % 4)
            assert abs(seen.setdefault(offset, products[a, b].item()) - products[a, b].item()) < 1e-5
    assert len({round(value, 4) for value in seen.values()}) == 5 * 7


@pytest.mark.parametrize("order", ["halves", "interleaved"])
def test_rotary_turns_pairs_by_the_place_times_a_falling_rate(order: str) -> None:
    x = torch.randn(1, 1, 5, 8, generator=torch.Generator().manual_seed(3))
    found, expected = turned(SEQUENCE, order, 5)(x), torch.empty(5, 8)
    for place in range(5):
        for pair in range(4):
            i, j = (pair, pair + 4) if order == "halves" else (2 * pair, 2 * pair + 1)
            angle = place * 100.0 ** (-2 * pair / 8)
            turn = complex(math.cos(angle), math.sin(angle))
            after = complex(x[0, 0, place, i].item(), x[0, 0, place, j].item()) * turn
            expected[place, i], expected[place, j] = after.real, after.imag
    assert_agree(found[0, 0], expected)


def test_class_tokens_are_not_turned() -> None:
    x = torch.randn(1, 1, 3 + 4, 8)
    found = turned(Layout((2, 2), prefix=3), "halves", 7)(x)
    assert found[:, :, :3].equal(x[:, :, :3])
    assert found[:, :, 3:].equal(turned(Layout((2, 2)), "halves", 4)(x[:, :, 3:]))


def test_rotary_positions_turn_queries_and_keys_of_every_block_and_nothing_else() -> None:
    model = encoder("text", "position: {type: rotary, base: 20}")
    inputs = {"text": torch.randint(1, 11, (3, 6), generator=torch.Generator().manual_seed(1))}
    x, y = attention_of(model, "text", inputs)
    assert_agree(y, turned_attention(Weights.of(model).at("text.blocks.1.attention"), x))


def test_along_a_row_of_a_grid_rotary_positions_turn_by_the_distance_in_the_row() -> None:
    model = encoder("image", "position: {type: rotary, base: 20}, attention: {type: axial, axes: [1]}")
    x, y = attention_of(model, "image", example(["image"]))
    rows = x.unflatten(1, (3, 3)).flatten(0, 1)
    expected = turned_attention(Weights.of(model).at("image.blocks.1.attention"), rows)
    assert_agree(y, expected.unflatten(0, (-1, 3)).flatten(1, 2))


def turned_attention(w: Weights, x: Tensor) -> Tensor:
    """Attention over a row whose scores are turned by each distance, base 20, two heads of 8 channels."""
    q, k, v = (linear(w.at(name), x).unflatten(-1, (2, 8)) for name in ("query", "key", "value"))
    samples, tokens = x.shape[:2]
    scores = torch.empty(samples, 2, tokens, tokens, dtype=torch.float64)
    for n in range(tokens):
        for m in range(tokens):
            rates = 20.0 ** (-torch.arange(4) * 2 / 8)
            turn = torch.polar(torch.ones(4, dtype=torch.float64), (n - m) * rates.double())
            a, b = (torch.complex(z[..., :4], z[..., 4:]) for z in (q[:, n], k[:, m]))
            scores[:, :, n, m] = (a * turn * b.conj()).real.sum(-1) / math.sqrt(8)
    mixed = torch.einsum("bhnm,bmhd->bnhd", scores.softmax(-1), v).flatten(2)
    return linear(w.at("output"), mixed)
