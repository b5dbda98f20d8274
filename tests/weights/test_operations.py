"""What a layout may do to a tensor."""

import math

import pytest
import torch
from torch.nn.utils.parametrizations import weight_norm as weight_norm_of_torch

from mmspec.weights import tables
from mmspec.weights.operations import Misfit, join, rearrange, split, weight_norm


def counted(*shape):
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)


def test_axes_are_exchanged_by_name():
    x = counted(2, 3)
    assert torch.equal(rearrange(x, "in out -> out in"), x.T)
    assert torch.equal(rearrange(counted(2, 3, 4), "a b c -> c a b"), counted(2, 3, 4).permute(2, 0, 1))


def test_axes_of_size_one_come_and_go():
    assert torch.equal(rearrange(counted(1, 1, 5), "1 1 d -> 1 d"), counted(1, 5))
    assert torch.equal(rearrange(counted(5), "d -> 1 d"), counted(1, 5))
    assert torch.equal(rearrange(counted(1, 3, 5), "1 n d -> n d"), counted(3, 5))


@pytest.mark.parametrize(("shape", "said"), [((2, 3), "d -> d"), ((2, 3, 4), "1 n d -> n d")])
def test_axes_that_are_not_there_are_a_misfit(shape, said):
    with pytest.raises(Misfit, match=r"is not \("):
        rearrange(counted(*shape), said)


def test_parts_and_their_join_are_the_whole():
    x = counted(6, 4)
    for axis, sizes in ((0, (1, 2, 3)), (1, (3, 1))):
        parts = split(x, sizes, axis)
        assert [part.shape[axis] for part in parts] == list(sizes)
        assert torch.equal(join(parts, axis), x)
    with pytest.raises(Misfit, match=r"\[6, 4\] is not 2 \+ 2 along axis 0"):
        split(x, (2, 2), 0)
    with pytest.raises(Misfit, match="cannot be joined along axis 0"):
        join([counted(2, 3), counted(2, 4)], 0)


def test_shapes_alone_are_enough():
    x = torch.empty(1, 17, 8, device="meta")
    assert tables.grid(rearrange(x, "1 n d -> n d"), 1, (6, 5)).shape == (31, 8)


def test_a_table_on_its_own_grid_is_itself_and_the_first_rows_always_are():
    table = torch.randn(2 + 12, 5)
    assert torch.allclose(tables.grid(table, 2, (3, 4), (3, 4)), table, atol=1e-6)
    assert torch.equal(tables.grid(table, 2, (6, 9), (3, 4))[:2], table[:2])


def cubic(old, new):
    """The matrix of cubic convolution (Keys 1981, a = -0.75) from `old` samples to `new`, centres aligned, edges repeated."""
    matrix = torch.zeros(new, old)
    for i in range(new):
        at = (i + 0.5) * old / new - 0.5
        first = math.floor(at) - 1
        for j in range(first, first + 4):
            x = abs(at - j)
            near = 1.25 * x**3 - 2.25 * x**2 + 1
            weight = near if x <= 1 else -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
            matrix[i, min(max(j, 0), old - 1)] += weight
    return matrix


def test_between_places_stands_their_cubic_convolution_along_rows_and_columns():
    table = torch.randn(1 + 3 * 5, 4)
    found = tables.grid(table, 1, (6, 7), (3, 5))
    expected = torch.einsum("Yy,Xx,yxd->YXd", cubic(3, 6), cubic(5, 7), table[1:].reshape(3, 5, 4))
    assert torch.allclose(found[1:], expected.reshape(42, 4), atol=1e-5)


def test_a_table_that_is_no_square_asks_for_its_grid():
    with pytest.raises(
        Misfit, match=r"its 12 places beside 2 for other tokens are no square; `grid: \[rows, columns\]`"
    ):
        tables.grid(torch.randn(14, 5), 2, (3, 3))
    with pytest.raises(Misfit, match="not a grid of 5 x 2"):
        tables.grid(torch.randn(14, 5), 2, (3, 3), (5, 2))


def test_a_longer_text_than_there_are_places_cannot_be_had():
    table = torch.randn(6, 5)
    assert torch.equal(tables.rows(table, 4), table[:4])
    with pytest.raises(Misfit, match="it has places for 6 tokens, and the spec asks for 7"):
        tables.rows(table, 7)


@pytest.mark.parametrize(("shape", "dim"), [((4, 3, 5), 2), ((4, 3, 5), 0), ((4, 3, 1), 2), ((6, 2), 0)])
def test_a_normalised_weight_is_folded_into_the_one_that_torch_computes_with(shape, dim):
    layer = torch.nn.Module()
    layer.weight = torch.nn.Parameter(torch.randn(shape))
    weight_norm_of_torch(layer, dim=dim)
    parts = layer.parametrizations.weight
    parts.original0.data.normal_()
    assert torch.allclose(weight_norm([parts.original0, parts.original1]), layer.weight, atol=1e-6)


@pytest.mark.parametrize(("lengths", "directions"), [((1, 5), (4, 3, 5)), ((1, 1, 4), (4, 3, 5))])
def test_lengths_of_another_weight_are_a_misfit(lengths, directions):
    with pytest.raises(Misfit, match=r"are no lengths of \[4, 3, 5\]"):
        weight_norm([torch.empty(lengths, device="meta"), torch.empty(directions, device="meta")])
