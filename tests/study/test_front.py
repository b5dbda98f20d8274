"""The front, its knee and its volume: against brute force and against figures that can be worked out by hand."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmspec.study.front import dominates, hypervolume, knee, non_dominated

points = st.integers(1, 3).flatmap(
    lambda d: st.lists(st.tuples(*[st.integers(0, 6).map(float)] * d), min_size=1, max_size=14)
)


@given(points)
def test_a_point_is_on_the_front_exactly_when_nothing_dominates_it_and_none_equal_came_before(points):
    expected = {
        i
        for i, p in enumerate(points)
        if not any(dominates(q, p) for q in points) and p not in points[:i]
    }  # fmt: skip
    assert set(non_dominated(points)) == expected


@given(points)
def test_every_point_that_is_not_on_the_front_is_dominated_or_equalled_by_one_that_is(points):
    front = non_dominated(points)
    for i, p in enumerate(points):
        assert i in front or any(dominates(points[j], p) or points[j] == p for j in front)


@given(points)
def test_the_hypervolume_counts_exactly_the_unit_cells_that_some_point_dominates(points):
    dimensions = len(points[0])
    cells = itertools.product(range(6), repeat=dimensions)
    counted = sum(any(all(x <= c for x, c in zip(p, cell, strict=True)) for p in points) for cell in cells)
    assert hypervolume(points, (6.0,) * dimensions) == counted


@given(points)
def test_the_hypervolume_agrees_with_optunas_own(points):
    import numpy as np
    from optuna._hypervolume import compute_hypervolume  # the peer, not a dependency of ours

    reference = np.full(len(points[0]), 7.0)
    assert hypervolume(points, tuple(reference)) == pytest.approx(compute_hypervolume(np.array(points), reference))


def test_a_point_beyond_the_reference_adds_nothing():
    assert hypervolume([(1.0, 1.0)], (2.0, 3.0)) == 2.0
    assert hypervolume([(1.0, 1.0), (0.0, 3.0), (2.5, 0.0)], (2.0, 3.0)) == 2.0


def test_the_knee_is_the_point_furthest_from_the_chord_between_the_ends():
    front = [(0.0, 10.0), (1.0, 4.0), (2.0, 1.0), (10.0, 0.0)]
    distances = [abs(x / 10 + y / 10 - 1) for x, y in front]
    assert knee(front) == distances.index(max(distances)) == 2


def test_the_knee_does_not_depend_on_the_units_of_an_axis():
    front = [(0.0, 10.0), (1.0, 4.0), (2.0, 1.0), (10.0, 0.0)]
    assert knee([(1e9 * x + 5, y / 1e6) for x, y in front]) == knee(front)


def test_one_point_and_two_points_have_a_knee():
    assert knee([(3.0, 4.0)]) == 0
    assert knee([(1.0, 2.0), (2.0, 1.0)]) == 0


def test_nothing_has_no_knee():
    with pytest.raises(ValueError, match="empty front"):
        knee([])
