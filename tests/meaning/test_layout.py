"""Axes that are split, moved and joined; parts of values and tokens in front of others, with their masks."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pieces import graph_of, piece

from mmspec.ir import ShapeError, symbol
from mmspec.ir.functions import part, rearrange

PATTERNS = {
    "b c h w -> b (h w) c": {},
    "b (h w) c -> b c h w": {"h": 2},
    "b (h p) (w q) c -> (b h w) (p q) c": {"h": 2, "w": 3},
    "(b h w) (p q) c -> b (h p) (w q) c": {"h": 2, "w": 3, "p": 2},
    "b n (h d) -> b h n d": {"h": 3},
    "b n c -> b (n c)": {},
    "b (h p) (w q) c -> b h w (q p c)": {"p": 2, "q": 3},
    "a b -> b a": {},
}
SIZES = {"a": 2, "b": 2, "c": 3, "h": 2, "w": 3, "p": 2, "q": 3, "n": 4, "d": 2}


def groups(side: str) -> list[list[str]]:
    return [word.strip("()").split() for word in side.replace("(", "|(").replace(")", ")|").split("|") for word in
            ([word] if "(" in word else word.split())]  # fmt: skip


def by_definition(x: np.ndarray, pattern: str, sizes: dict[str, int]) -> np.ndarray:
    """Each element carried over by the coordinates of its names."""
    before, after = (groups(side) for side in pattern.split("->"))
    names = [name for group in before for name in group]
    y = np.empty([int(np.prod([sizes[name] for name in group])) for group in after], x.dtype)

    def place(side: list[list[str]], at: dict[str, int]) -> tuple[int, ...]:
        index = []
        for group in side:
            flat = 0
            for name in group:
                flat = flat * sizes[name] + at[name]
            index.append(flat)
        return tuple(index)

    for coordinates in itertools.product(*(range(sizes[name]) for name in names)):
        at = dict(zip(names, coordinates, strict=True))
        y[place(after, at)] = x[place(before, at)]
    return y


def shape_before(pattern: str, sizes: dict[str, int]) -> tuple[int, ...]:
    return tuple(int(np.prod([sizes[name] for name in group])) for group in groups(pattern.split("->")[0]))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_rearrange_carries_each_element_to_the_place_that_its_names_say(pattern: str) -> None:
    shape = shape_before(pattern, SIZES)
    said = {name: SIZES[name] for name in PATTERNS[pattern]}
    x = torch.arange(float(np.prod(shape))).reshape(shape)
    graph = graph_of(lambda g, x: rearrange(x, pattern, **said), x=shape)
    found = piece(lambda g, x: rearrange(x, pattern, **said), x=shape)(x)
    expected = by_definition(x.numpy(), pattern, SIZES)
    assert graph.outputs["y"].shape == tuple(found.shape) == expected.shape
    assert np.array_equal(found.numpy(), expected)
    assert found.is_contiguous(), "what follows runs on memory in order"


@given(st.data())
def test_the_pattern_read_backwards_gives_back_what_was_there(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True))
    sizes = {name: data.draw(st.integers(1, 3)) for name in names}

    def side() -> str:
        order = data.draw(st.permutations(names))
        text, i = [], 0
        while i < len(order):
            taken = data.draw(st.integers(1, 3))
            text.append(f"({' '.join(order[i : i + taken])})" if len(order[i : i + taken]) > 1 else order[i])
            i += taken
        return " ".join(text)

    one, other = side(), side()
    shape = shape_before(f"{one} -> {other}", sizes)
    x = torch.arange(float(np.prod(shape))).reshape(shape)

    def there_and_back(g, x):
        y = rearrange(x, f"{one} -> {other}", **sizes)
        return {"y": y, "x_again": rearrange(y, f"{other} -> {one}", **sizes)}

    y, again = piece(there_and_back, x=shape)(x)
    assert np.array_equal(y.numpy(), by_definition(x.numpy(), f"{one} -> {other}", sizes))
    assert again.equal(x)


def test_one_size_of_a_split_axis_follows_even_where_the_axis_is_a_symbol() -> None:
    batch, length = symbol("B"), symbol("N")
    windows = graph_of(lambda g, x: rearrange(x, "b (h p) c -> (b h) p c", h=4), x=(batch, 12, 5)).outputs["y"]
    assert windows.shape == (4 * batch, 3, 5)
    back = graph_of(lambda g, x: rearrange(x, "(b h) p c -> b (h p) c", h=4), x=(4 * batch, 3, 5)).outputs["y"]
    assert back.shape == (batch, 12, 5)
    heads = graph_of(lambda g, x: rearrange(x, "b n (h d) -> b h n d", h=4), x=(batch, length, 12)).outputs["y"]
    assert heads.shape == (batch, 4, length, 3)


@pytest.mark.parametrize(
    ("pattern", "sizes", "shape"),
    [
        ("b (h p) -> b h p", {"p": 4}, (2, 6)),  # 4 does not divide 6
        ("b c -> c b", {}, (2, 3, 4)),  # another number of axes
        ("b (h p) -> b h p", {"h": 2, "p": 2}, (2, 6)),  # both sizes told, and they are not the axis's
        ("b (h p) -> b h p", {}, (2, 6)),  # two sizes of one axis left out
    ],
)
def test_what_does_not_fit_the_pattern_is_an_error(pattern: str, sizes: dict[str, int], shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError):
        graph_of(lambda g, x: rearrange(x, pattern, **sizes), x=shape)


# parts, and what stands in front ----------------------------------------------------------------------------------------

MASK = torch.tensor([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]], dtype=torch.bool)
WITH_MASK = {"x": (2, 5, 3), "mask": ((2, 5), "bool")}


@pytest.mark.parametrize(("start", "stop"), [(0, 2), (1, None), (1, 4), (-2, None), (0, -1), (-3, -1)])
def test_a_part_of_the_tokens_keeps_the_mask_of_those_tokens(start: int, stop: int | None) -> None:
    x = torch.randn(2, 5, 3)

    def body(g, x):
        taken = part(x, start, stop)
        return {"y": taken, "present": taken.mask}

    assert graph_of(body, **WITH_MASK).outputs["y"].shape == tuple(x[:, start:stop].shape)
    found, present = piece(body, **WITH_MASK)(x, MASK)
    assert found.equal(x[:, start:stop]) and present.equal(MASK[:, start:stop])


def test_a_part_of_the_channels_is_that_part() -> None:
    x = torch.randn(2, 5, 3)
    assert piece(lambda g, x: part(x, 1, axis=2), x=(2, 5, 3))(x).equal(x[..., 1:])
    assert piece(lambda g, x: part(x, 0, -1, axis=-1), x=(2, 5, 3))(x).equal(x[..., :-1])


def test_a_part_that_is_not_there_is_an_error() -> None:
    for start, stop in ((0, 6), (4, 2)):
        with pytest.raises(ShapeError):
            graph_of(lambda g, x, start=start, stop=stop: part(x, start, stop), x=(2, 5, 3))


def test_tokens_in_front_are_the_same_for_every_sample_and_always_present() -> None:
    def body(g, x):
        joined = g.prepend("front", 2, x)
        return {"y": joined, "present": joined.mask}

    model, x = piece(body, **WITH_MASK), torch.randn(2, 5, 3)
    found, present = model(x, MASK)
    for sample in range(2):
        assert found[sample].equal(torch.cat([model.front, x[sample]]))
    assert present.equal(torch.cat([torch.ones(2, 2, dtype=torch.bool), MASK], dim=1))
    assert graph_of(body, x=(symbol("B"), symbol("N"), 3), mask=((symbol("B"), symbol("N")), "bool")).outputs[
        "y"
    ].shape == (symbol("B"), symbol("N") + 2, 3)
    assert graph_of(lambda g, x: g.prepend("front", 2, x), x=(2, 5, 3)).outputs["y"].mask is None


def test_a_value_without_a_batch_is_seen_by_every_sample() -> None:
    model = piece(lambda g, x: g.emit("expand", g.parameter("table", 4, 3), x), x=(2, 5, 3))
    found = model(torch.randn(2, 5, 3))
    assert found.equal(torch.stack([model.table, model.table]))
