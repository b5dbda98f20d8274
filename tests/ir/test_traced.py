"""A traced integer is the integer that it was before, and its formula is the program that made it, wherever the conditions hold."""

import random

import pytest

from mmspec.ir.dims import bind, symbol, symbols
from mmspec.ir.quotients import quotient
from mmspec.ir.traced import Trace, Traced, formula

S, F = symbol("S"), symbol("F")


@pytest.mark.parametrize(
    ("dim", "by", "text"),
    [
        (17 * S + 20, 16, "S + floor((S + 4)/16) + 1"),
        (-1 * S, 7, "-ceil(S/7)"),
        (4 * S + 2, 6, "floor((2*S + 1)/3)"),
        (quotient(S + 1, 2) + 1, 2, "ceil(S/4)"),
        (quotient(S, 4) + 6, 7, "floor((S + 24)/28)"),
        (S * F + 3 * F, F, "S + 3"),
        (S - F, F, "floor(S/F) - 1"),
        (S * S - 1, S + 1, "S - 1"),
    ],
)
def test_what_divides_is_outside_and_equal_divisions_are_written_alike(dim, by, text):
    found = quotient(dim, by)
    assert str(found) == text
    for at in ({"S": 5, "F": 3}, {"S": 224, "F": 16}, {"S": 97, "F": 10}):
        assert bind(found, at) == bind(dim, at) // bind(by, at)


def program(steps, s, f):
    """A program made by chance: arithmetic on sizes, with branches that depend on them."""
    pool = [s, f, 3, 12]
    for kind, i, j, k in steps:
        a, b = pool[i % len(pool)], pool[j % len(pool)]
        if kind == "branch":
            pool.append(a + k if a >= b else b * 2)
        elif kind == "mod":
            pool.append(a + 1 if a % k else a // k)
        elif kind == "pad":
            pool.append(a + -a % k)
        elif kind == "conv":
            pool.append((a + k - 3) // 2 + 1)
        elif kind == "max":
            pool.append(max(a, b, k))
        elif kind == "divide":
            pool.append(a // b if b > 0 else a - b)
        elif kind == "times" and abs(formula_or(a)) < 10**6 and abs(formula_or(b)) < 10**6:
            pool.append(a * b)
        else:
            pool.append(sum([a, b, -k]))
    return pool


def formula_or(number):
    return int.__add__(number, 0)


KINDS = ("branch", "mod", "pad", "conv", "max", "divide", "times", "sum")


@pytest.mark.parametrize("seed", range(40))
def test_a_formula_is_the_program_wherever_its_conditions_hold(seed):
    drawn = random.Random(seed)
    steps = [(drawn.choice(KINDS), drawn.randrange(99), drawn.randrange(99), drawn.randrange(1, 9)) for _ in range(7)]
    at = {"S": drawn.randrange(1, 300), "F": drawn.randrange(1, 40)}
    trace = Trace()
    found = program(steps, trace.symbol("S", at["S"]), trace.symbol("F", at["F"]))
    plain = program(steps, at["S"], at["F"])
    assert [formula_or(number) for number in found] == plain
    covered = 0
    others = [{"S": drawn.randrange(1, 600), "F": drawn.randrange(1, 80)} for _ in range(60)]
    for other in [at, *others, *({**at, "S": at["S"] + step} for step in range(-24, 25) if at["S"] + step > 0)]:
        if all(condition.holds(other) for condition in trace.conditions[""]):
            expected = program(steps, other["S"], other["F"])
            assert [bind(trace.simplest(formula(number)), other) for number in found] == expected, other
            covered += 1
    assert covered


def test_builtins_keep_the_formula():
    trace = Trace()
    side = trace.symbol("S", 224)
    for number in (sum([1, side]), max(side, 3), abs(side), round(side), divmod(side, 3)[0], 2 - side, side**2, -side):
        assert isinstance(number, Traced)
        assert symbols(number.dim) == {"S"}


def test_a_comparison_is_a_condition():
    trace = Trace()
    side = trace.symbol("S", 224)
    assert not side % 16
    assert side // 16 > 3
    assert side != 100
    assert [str(condition) for condition in trace.conditions[""]] == ["S mod 16 = 0", "floor(S/16) >= 4", "S != 100"]


def test_what_always_holds_is_no_condition():
    trace = Trace()
    side = trace.symbol("S", 224)
    assert side
    assert side + 1 > 1
    assert side == side + 1 - 1
    assert not trace.conditions[""]


def test_where_a_formula_is_lost_the_size_is_pinned():
    trace = Trace()
    side = trace.symbol("S", 224)
    assert side / 16 == 14.0
    assert [str(condition) for condition in trace.conditions[""]] == ["S = 224"]


def test_equal_numbers_of_different_formulas_are_not_one_key():
    trace = Trace()
    sizes = {trace.symbol("S", 14): "S", trace.symbol("F", 14): "F", 14: "a number"}
    assert len(sizes) == 3


def test_what_divides_once_is_known_to_divide_from_then_on():
    trace = Trace()
    side = trace.symbol("S", 224)
    cells = side // 4
    assert not side % 4
    assert not cells % 7
    assert str(formula(trace.symbol("F", 2) * (cells // 7))) == "F*floor(S/28)"
    assert str(trace.simplest(formula(cells))) == "7*floor(S/28)"
    assert str(formula(cells + -cells % 7)) == "7*floor(S/28)"
