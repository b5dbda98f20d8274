"""Limits are read by a grammar, never evaluated, and broken by a share of themselves."""

import pytest

from mmspec.cost.limits import LimitError, parse_limit


@pytest.mark.parametrize(
    ("text", "figure", "relation", "bound"),
    [
        ("parameters.total <= 2e6", "parameters.total", "<=", 2e6),
        ("parameters <= 2M", "parameters.total", "<=", 2e6),
        ("flops <= 50 MFLOP", "flops.total", "<=", 50e6),
        ("flops.expected<=1.5GFLOPs", "flops.expected", "<=", 1.5e9),
        ("memory.weights <= 8 MiB", "memory.weights", "<=", 8 * 1024**2),
        ("memory.weights <= 8 MB", "memory.weights", "<=", 8e6),
        ("parameters.total >= 100_000", "parameters.total", ">=", 1e5),
        ("  flops.total  <=  3  ", "flops.total", "<=", 3.0),
    ],
)
def test_a_limit_is_a_figure_a_relation_and_a_number_with_a_unit(text, figure, relation, bound):
    limit = parse_limit(text)
    assert (limit.figure, limit.relation, limit.bound) == (figure, relation, bound)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parameters < 2e6", "did you mean '<='"),
        ("parameters > 2e6", "did you mean '>='"),
        ("parameters == 2e6", "uses <= or >="),
        ("parameters <= ", "is not a limit"),
        ("parameters <= two million", "is not a limit"),
        ("parameters <= 2 MFLOP", "FLOP is a unit of flops"),
        ("flops <= 2 MB", "B is a unit of memory"),
        ("flops <= 1e999", "not a finite number"),
        ("__import__('os').system('true') <= 1", "is not a limit"),
        ("1 <= flops", "is not a limit"),
        ("flops <= 1 <= 2", "is not a limit"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text, said):
    with pytest.raises(LimitError, match=said.replace("(", r"\(")):
        parse_limit(text)


def test_a_violation_is_a_share_of_the_bound_so_that_bytes_do_not_drown_flops():
    assert parse_limit("memory.weights <= 8 MB").violation(12e6) == pytest.approx(0.5)
    assert parse_limit("flops <= 8").violation(12) == pytest.approx(0.5)
    assert parse_limit("parameters >= 100").violation(75) == pytest.approx(0.25)


def test_a_limit_that_is_just_kept_is_not_violated():
    assert parse_limit("flops <= 8").violation(8) == 0
    assert parse_limit("flops >= 8").violation(9) < 0
    assert parse_limit("flops <= 0").violation(3) == 3
