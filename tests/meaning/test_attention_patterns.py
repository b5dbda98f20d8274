"""Every pattern computes attention over just the pairs that it names, for any length, and costs what torch counts."""

import patterns
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from patterns import WIDTH, attention, mix, tensors

from mmspec.components.attention.block_sparse import BlockSparse
from mmspec.components.attention.block_top_k import BlockTopK
from mmspec.components.attention.dense import Causal, Full
from mmspec.components.attention.dilated import Dilated
from mmspec.components.attention.entmax import Entmax
from mmspec.components.attention.global_tokens import GlobalTokens
from mmspec.components.attention.linear import Linear
from mmspec.components.attention.random_pairs import Random
from mmspec.components.attention.top_k import TopK
from mmspec.components.attention.window import Window
from mmspec.components.positions.base import Layout
from mmspec.cost.flops import Sizes, flops
from mmspec.ir import ShapeError

some = settings(max_examples=10, deadline=None, derandomize=True)
lengths = st.integers(1, patterns.LONGEST)
shared_heads = st.sampled_from([(1, 1), (2, 2), (2, 1), (4, 2)])  # of queries, of keys
small = st.integers(1, 5)
scales = st.sampled_from([None, 0.3])


def agrees(
    pattern, length, heads=(2, 2), visible=None, layout=None, tokens=None, weigh=patterns.softmax, prepare=None, **said
):
    """The pattern against plain attention over `visible`, masked and unmasked, biased and not, and its price against torch's."""
    inputs = tensors(2, *heads, length, seed=length)
    for masked, biased in ((True, False), (False, True)):
        how = {"layout": layout} if layout else {}
        ours = mix(pattern, *heads, tokens=tokens, masked=masked, biased=biased, **how, **said)
        seen = visible(ours.module) if callable(visible) else visible
        rules = weigh(ours.module) if prepare else weigh
        if prepare:
            prepare(ours.module)
            rules = weigh(ours.module)
        query, key, value, mask, bias = inputs
        there = mask if masked else torch.ones_like(mask)
        expected = attention(query, key, value, there, seen, bias if biased else None, said.get("scale"), rules)
        torch.testing.assert_close(ours(*inputs), expected, rtol=1e-7, atol=1e-7)
        assert ours.counted(*inputs) == ours.priced(2, length)


@some
@given(lengths, small, st.booleans(), st.integers(0, 3), shared_heads, scales)
def test_a_window_in_a_row_sees_its_surroundings(length, size, causal, first, heads, scale):
    visible = patterns.row(length, size, first=first, causal=causal)
    agrees(Window(size=size, causal=causal), length, heads, visible, Layout(prefix=first), scale=scale)


@some
@given(st.sampled_from([((4, 6), 2), ((6, 3), 3), ((2, 4, 4), 2), ((5, 5), 1)]), st.integers(0, 2), shared_heads)
def test_a_window_on_a_grid_sees_itself(sides_and_size, first, heads):
    sides, size = sides_and_size
    visible = patterns.grid(sides, lambda a, b: a // size == b // size, first)
    agrees(Window(size=size), len(visible), heads, visible, Layout(sides, first), tokens=len(visible))


@some
@given(lengths, st.integers(1, 4), st.none() | small, st.booleans(), st.integers(0, 2), shared_heads)
def test_a_dilated_pattern_in_a_row_sees_every_nth_token(length, dilation, size, causal, first, heads):
    visible = patterns.row(length, size or length, dilation, first, causal)
    agrees(Dilated(dilation=dilation, size=size, causal=causal), length, heads, visible, Layout(prefix=first))


@some
@given(st.sampled_from([((4, 6), 2), ((6, 3), 3), ((2, 4, 4), 2)]), st.integers(0, 2), shared_heads)
def test_a_dilated_pattern_on_a_grid_sees_every_nth_token_along_each_axis(sides_and_dilation, first, heads):
    sides, dilation = sides_and_dilation
    visible = patterns.grid(sides, lambda a, b: (a - b) % dilation == 0, first)
    agrees(Dilated(dilation=dilation), len(visible), heads, visible, Layout(sides, first), tokens=len(visible))


@some
@given(lengths, st.integers(1, 4), small, shared_heads)
def test_global_tokens_see_all_and_are_seen_by_all(length, tokens, size, heads):
    agrees(GlobalTokens(tokens=tokens, size=size), length, heads, patterns.row(length, size, first=tokens))


@some
@given(lengths, st.integers(1, 3), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), shared_heads, scales)
def test_a_block_sees_its_neighbours_the_ends_and_those_drawn_for_it(
    length, block, random, neighbours, ends, heads, scale
):
    def visible(module):
        drawn = dict(module.named_buffers()).get("random_blocks")
        return patterns.blocks(length, block, ends, neighbours, drawn)

    pattern = BlockSparse(block=block, random=random, neighbours=neighbours, ends=ends, seed=length)
    agrees(pattern, length, heads, visible, scale=scale)


def blocks_that_matter(query, key, mask, block, k, causal):
    """bool[B, h, N, N]: block by block, the k others whose mean key has the largest product with the mean query; and bool[B, N]: whose
    block has any token, since to nothing all are as like."""
    batch, heads, length, _ = query.shape
    visible = torch.zeros(batch, heads, length, length, dtype=torch.bool)
    decided = torch.ones(batch, length, dtype=torch.bool)
    places = [range(start, min(start + block, length)) for start in range(0, length, block)]

    def mean(x, b, h, at):
        there = [x[b, h, n] for n in at if mask[b, n]]
        return sum(there) / len(there) if there else torch.zeros(WIDTH, dtype=x.dtype)

    for b in range(batch):
        for h in range(heads):
            for i, own in enumerate(places):
                asks = mean(query, b, h, places[i - 1] if causal else own) if i or not causal else None
                others = [
                    j for j in range(i if causal else len(places)) if j != i and any(mask[b, n] for n in places[j])
                ]
                if causal and (asks is None or not asks.any()):
                    others.reverse()  # nobody asks: the nearest
                else:
                    shared = h * key.shape[1] // heads
                    others.sort(key=lambda j: -float(asks @ mean(key, b, shared, places[j])))
                decided[b, list(own)] &= causal or bool(asks.any())
                for n in own:
                    for seen in (own, *(places[j] for j in others[:k])):
                        visible[b, h, n, list(seen)] = True
    return (visible.tril() if causal else visible), decided


@some
@given(st.integers(7, patterns.LONGEST), st.integers(1, 3), st.integers(1, 2), st.booleans(), shared_heads, scales)
def test_a_block_sees_itself_and_the_blocks_that_are_most_like_it(length, block, k, causal, heads, scale):
    query, key, value, mask, bias = inputs = tensors(3, *heads, length, seed=length)
    for masked, biased in ((True, False), (False, True)):
        ours = mix(BlockTopK(block=block, k=k, causal=causal), *heads, masked=masked, biased=biased, scale=scale)
        there = mask if masked else torch.ones_like(mask)
        visible, decided = blocks_that_matter(query, key, there, block, k, causal)
        for b in range(3):
            one = [x[b : b + 1] for x in (query, key, value, there)]
            expected = attention(*one, visible[b], bias if biased else None, scale)
            torch.testing.assert_close(ours(*inputs)[b, :, decided[b]], expected[0, :, decided[b]])
        assert ours.counted(*inputs) == ours.priced(3, length)


@some
@given(lengths, st.integers(1, 8), st.booleans(), shared_heads)
def test_a_random_pattern_sees_itself_and_those_drawn_for_it(length, others, causal, heads):
    def visible(module):
        chosen = torch.zeros(heads[0], patterns.LONGEST, patterns.LONGEST, dtype=torch.bool)
        chosen = chosen.scatter(2, module.random_tokens, True) | torch.eye(patterns.LONGEST, dtype=torch.bool)
        seen = chosen[:, :length, :length]
        return seen.tril() if causal else seen

    agrees(Random(others=others, seed=length, causal=causal), length, heads, visible)


@some
@given(lengths, st.integers(1, 8), st.booleans(), shared_heads)
def test_top_k_keeps_the_largest_scores(length, k, causal, heads):
    visible = patterns.row(length, length, causal=causal)
    agrees(TopK(k=k, causal=causal), length, heads, visible, weigh=patterns.largest(k))


@some
@given(lengths, st.booleans(), st.lists(st.floats(-2, 3), min_size=2, max_size=2))
def test_entmax_weighs_each_head_by_its_own_alpha(length, causal, raw):
    def prepare(module):
        module.alpha.data = torch.tensor(raw, dtype=torch.float64)

    def weigh(module):
        return [patterns.entmax(1 + torch.sigmoid(a).item()) for a in module.alpha]

    visible = patterns.row(length, length, causal=causal)
    agrees(Entmax(causal=causal), length, (2, 1), visible, weigh=weigh, prepare=prepare)


def test_the_gradient_of_entmax_is_that_of_its_definition():
    ours = mix(Entmax(), heads=1, tokens=6, masked=False)
    query, key, value, *_ = tensors(1, 1, 1, 6)
    for x in (query, key, value):
        x.requires_grad_()
    alpha = torch.tensor([0.4], dtype=torch.float64, requires_grad=True)

    def run(*given):
        return torch.func.functional_call(ours.module, {"alpha": given[3]}, given[:3])

    assert torch.autograd.gradcheck(run, (query, key, value, alpha), atol=1e-5)


@pytest.mark.parametrize("pattern", [Linear(), Linear(causal=True)], ids=["both ways", "causal"])
@pytest.mark.parametrize("length", [1, 7, 64, 65, 150])
def test_linear_attention_is_its_quadratic_form(pattern, length):
    """sum_m phi(q_n) phi(k_m) v_m / sum_m phi(q_n) phi(k_m), every pair by itself."""
    query, key, value, mask, bias = tensors(3, 2, 1, length)
    ours = mix(pattern, 2, 1, longest=150)
    weights = torch.einsum("bhnd,bgmd->bhnm", torch.nn.functional.elu(query) + 1, torch.nn.functional.elu(key) + 1)
    weights = weights * mask[:, None, None, :]
    if pattern.causal:
        weights = weights.tril()
    total = weights.sum(-1, keepdim=True)
    expected = weights @ value / torch.where(total > 0, total, 1.0)
    torch.testing.assert_close(ours(query, key, value, mask, bias), expected, rtol=1e-9, atol=1e-9)
    assert ours.counted(query, key, value, mask, bias) == ours.priced(3, length)


ROWS = [
    Window(size=2),
    Window(size=2, causal=True),
    Dilated(dilation=3),
    Dilated(dilation=2, size=2),
    GlobalTokens(tokens=2, size=1),
    BlockSparse(block=2, random=1),
    BlockTopK(block=2, k=1),
    BlockTopK(block=3, k=2, causal=True),
    Linear(),
    Linear(causal=True),
    Random(others=3),
    TopK(k=2),
    Entmax(),
]


@pytest.mark.parametrize("pattern", ROWS, ids=repr)
def test_a_query_that_sees_nothing_gets_zeros_and_finite_gradients(pattern):
    query, key, value, mask, bias = tensors(2, 2, 2, 9)
    for x in (query, key, value):
        x.requires_grad_()
    y = mix(pattern, 2, 2)(query, key, value, mask, bias)
    assert y[0, :, 0].all() and not y[1].any()  # the first token of the first sample is there
    y.sum().backward()
    assert all(torch.isfinite(x.grad).all() for x in (query, key, value))
    assert not query.grad[1].any() and not value.grad[1].any()


@pytest.mark.parametrize("pattern", [p for p in ROWS if p.is_causal], ids=repr)
def test_a_causal_pattern_gives_the_same_whatever_comes_later(pattern):
    query, key, value, mask, bias = tensors(1, 1, 1, 20)
    ours = mix(pattern)
    for n in range(1, 20):
        before = ours(query[:, :, :n], key[:, :, :n], value[:, :, :n], mask[:, :n], bias)
        torch.testing.assert_close(ours(query, key, value, mask, bias)[:, :, :n], before)


def full(length):
    return 4 * length**2 * WIDTH


@pytest.mark.parametrize(
    ("pattern", "pairs_per_token"),
    [
        (Window(size=8), 3 * 8),
        (Window(size=8, causal=True), 2 * 8),
        (Dilated(dilation=4, size=8), 3 * 8),
        (Linear(), WIDTH),  # two products of d x d for each token
        (Linear(causal=True), WIDTH + 64),
    ],
    ids=repr,
)
def test_twice_as_many_tokens_cost_twice_as_much(pattern, pairs_per_token):
    ours = mix(pattern, longest=4096)
    for length in (256, 512, 1024, 2048, 4096):
        assert ours.priced(1, length) == 4 * length * pairs_per_token * WIDTH < full(length)


def test_what_reduces_work_by_a_factor_does():
    assert 4 * mix(Dilated(dilation=4), longest=1024).priced(1, 1024) == full(1024)
    assert 4 * mix(Dilated(dilation=2), layout=Layout((32, 32)), tokens=1024).priced(1, 1024) == full(1024)
    assert 16 * mix(Window(size=8), layout=Layout((32, 32)), tokens=1024).priced(1, 1024) == full(1024)


def test_chosen_blocks_cost_their_pairs_and_the_means_that_chose_them():
    ours = mix(BlockTopK(block=64, k=3), longest=4096)
    for count in (16, 32, 64):
        assert ours.priced(1, 64 * count) == 4 * WIDTH * 64 * 64 * 4 * count + 2 * WIDTH * count**2
    assert ours.priced(1, 4096) < full(4096) / 15


def test_more_blocks_than_a_row_has_cannot_be_seen():
    with pytest.raises(ShapeError, match="18 tokens are 3 blocks of 8") as error:
        mix(BlockTopK(block=8, k=3))
    assert error.value.field == "attention.k" and error.value.hint


def test_block_sparse_attention_costs_a_few_blocks_for_each():
    ours = mix(BlockSparse(block=64, random=3), longest=4096)
    for count in (16, 32, 64):
        two_ends, beside_them, between = 2 * count, 2 * 7, (count - 4) * 8
        assert ours.priced(1, 64 * count) == 4 * WIDTH * 64 * 64 * (two_ends + beside_them + between)
    assert ours.priced(1, 4096) < full(4096) / 6


@pytest.mark.parametrize("pattern", [Random(others=2), TopK(k=2), Entmax()], ids=repr)
def test_what_cannot_save_work_costs_what_full_attention_costs(pattern):
    assert mix(pattern).priced(2, 18) == mix(Full()).priced(2, 18) == 2 * full(18)


def test_the_price_of_a_pattern_over_a_text_is_a_formula_in_its_length():
    ours = mix(Window(size=8), heads=2, groups=2)
    formula = flops(ours.graph, Sizes({})).own
    assert str(formula) == f"{4 * 2 * WIDTH * 24 * 8}*B*ceil(N/8)"


def test_causal_is_full_with_the_later_half_left_out():
    agrees(Causal(), 9, (2, 2), patterns.row(9, 9, causal=True))


@pytest.mark.parametrize(
    ("pattern", "layout", "message"),
    [
        (Window(size=4), Layout((6, 8)), "windows of 4 do not tile a grid of 6 x 8"),
        (Window(size=2, causal=True), Layout((6, 8)), "windows on a grid are not causal"),
        (Dilated(dilation=4), Layout((6, 8)), "dilations of 4 do not tile a grid of 6 x 8"),
        (Dilated(dilation=2, size=1), Layout((6, 8)), "has no size"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_grid_cannot_have_is_an_error(pattern, layout, message):
    with pytest.raises(ShapeError, match=message) as error:
        mix(pattern, layout=layout, tokens=48)
    assert error.value.field.startswith("attention.") and error.value.hint


def test_linear_attention_takes_no_bias_and_no_scale():
    with pytest.raises(ShapeError, match="no scores that positions could bias") as error:
        mix(Linear(), biased=True)
    assert error.value.field == "position"
    with pytest.raises(ShapeError, match="could be scaled") as error:
        mix(Linear(), scale=0.1)
    assert error.value.field == "attention_scale"
