"""Sizes with symbols compute as numbers do."""

from hypothesis import given
from hypothesis import strategies as st

from mmspec.ir import bind, product, symbol
from mmspec.ir.dims import blocks

B, N = symbol("B"), symbol("N")
sizes = st.recursive(
    st.one_of(st.integers(-9, 9), st.sampled_from([B, N])),
    lambda inner: st.tuples(st.sampled_from(["+", "-", "*"]), inner, inner).map(
        lambda t: t[1] + t[2] if t[0] == "+" else t[1] - t[2] if t[0] == "-" else t[1] * t[2]
    ),
    max_leaves=8,
)


@given(sizes, sizes, st.integers(0, 20), st.integers(0, 20))
def test_binding_then_computing_is_computing_then_binding(a, b, batch, length):
    at = {"B": batch, "N": length}
    assert bind(a + b, at) == bind(a, at) + bind(b, at)
    assert bind(a - b, at) == bind(a, at) - bind(b, at)
    assert bind(a * b, at) == bind(a, at) * bind(b, at)


@given(sizes, sizes)
def test_equal_sizes_are_equal_however_they_were_computed(a, b):
    assert a + b == b + a
    assert a * b == b * a
    assert a - a == 0
    assert hash(a + b) == hash(b + a)


def test_a_polynomial_without_symbols_left_is_an_integer():
    assert isinstance(B - B + 3, int)
    assert isinstance(bind(2 * B * N + 1, {"B": 3, "N": 5}), int)


def test_sizes_print_as_formulas():
    assert str(N + 16) == "N + 16"
    assert str(2 * B * N - 3) == "2*B*N - 3"
    assert str(B * B) == "B^2"


def test_binding_some_symbols_leaves_the_others():
    assert bind(B * N + B, {"N": 4}) == 5 * B


def test_the_product_of_no_sizes_is_one():
    assert product([]) == 1
    assert product([2, B, 3]) == 6 * B


@given(sizes, st.integers(1, 9), st.integers(0, 5), st.integers(0, 20), st.integers(0, 20))
def test_blocks_cover_a_size_whenever_it_is_bound(a, size, least, batch, length):
    at = {"B": batch, "N": length}
    known = bind(a, at)
    covered = bind(blocks(a, size, least), at)
    assert covered == blocks(known, size, least) == max(least, -(-known // size))
    assert bind(bind(blocks(a, size, least) * B, {"N": length}), {"B": batch}) == covered * batch


def test_a_number_of_blocks_prints_as_what_it_is():
    assert str(3 * B * blocks(N, 64)) == "3*B*ceil(N/64)"
    assert str(blocks(N - 1, 8)) == "ceil((N - 1)/8)"
    assert str(blocks(N, 64, 6)) == "max(ceil(N/64), 6)"
    assert blocks(N, 64) - blocks(N, 64) == 0
    assert blocks(130, 64) == 3
    assert blocks(N, 1) == N
