"""Statistics of short trainings, against exact sums and simulation."""

import math
import random

import pytest

from mmspec.study.trust import interval, noisy_neighbours, optimism, standard_error, within_noise


def test_the_standard_error_is_the_spread_of_a_binomial_share():
    p, n = 0.8, 50
    shares = [(k / n, math.comb(n, k) * p**k * (1 - p) ** (n - k)) for k in range(n + 1)]
    variance = sum(weight * (share - p) ** 2 for share, weight in shares)
    assert standard_error(p, n) == pytest.approx(math.sqrt(variance))


def test_a_perfect_score_is_not_a_certain_one():
    assert 0 < standard_error(1.0, 100) < 0.01
    assert interval(1.0, 100)[0] == pytest.approx(0.963, abs=1e-3)  # the rule of three says 0.97


@pytest.mark.parametrize(("accuracy", "examples"), [(0.5, 0), (1.2, 10), (-0.1, 10)])
def test_what_is_no_accuracy_has_no_standard_error(accuracy, examples):
    with pytest.raises(ValueError, match="no standard error"):
        standard_error(accuracy, examples)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    p, n = 0.93, 360
    covered = sum(
        math.comb(n, k) * p**k * (1 - p) ** (n - k)
        for k in range(n + 1)
        if interval(k / n, n)[0] <= p <= interval(k / n, n)[1]
    )
    assert covered == pytest.approx(0.95, abs=0.015)


def test_small_differences_on_few_examples_are_noise_and_large_ones_are_not():
    assert within_noise(0.93, 0.94, 360)
    assert not within_noise(0.80, 0.94, 360)
    assert noisy_neighbours([0.70, 0.93, 0.94, 0.99], 360) == [(1, 2)]


def test_the_best_of_many_equals_is_overrated_by_the_expected_maximum_of_their_noise():
    generator = random.Random(0)
    simulated = sum(max(generator.gauss(0, 1) for _ in range(12)) for _ in range(4000)) / 4000
    assert optimism(0.9, 360, 12) == pytest.approx(simulated * standard_error(0.9, 360), rel=0.03)
    assert optimism(0.9, 360, 2) == pytest.approx(standard_error(0.9, 360) / math.sqrt(math.pi), rel=1e-3)
    assert optimism(0.9, 360, 1) == 0
