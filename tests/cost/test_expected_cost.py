"""Expectations equal what enumerating every outcome gives: exits of one and of several stacks, batches, experts that are met."""

from itertools import product
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmspec
from mmspec.components import CATALOGUE
from mmspec.cost.halting import last_of, reach
from mmspec.errors import UserError
from mmspec.spec import read

DEPTH = 3
TWO_STACKS = read(
    """\
name: two_stacks
inputs:
  image: {type: image, size: 16, channels: 1}
  text: {type: text, vocab_size: 11, length: 6}
encoders:
  image: {type: vit, patch_size: 8, width: 16, depth: 1, heads: 2}
  text: {type: text_transformer, width: 16, depth: 1, heads: 2}
fusion:
  seen: {type: gated, from: [image, text], depth: 3, halting: {type: confidence, head: answer}}
  told: {type: cross_attention, from: [text, image], depth: 3, halting: {type: confidence, head: topic}}
heads:
  answer: {type: classification, classes: 5, from: seen}
  topic: {type: classification, classes: 7, from: told}
""",
    CATALOGUE,
)
SPARSE = mmspec.load("fusion_gated", ["fusion.joint.depth=3", "fusion.joint.halting.threshold=0.5"])
LAYERS = [f"joint.blocks.{block}.feed_forward.experts" for block in range(DEPTH)]


def shares(count):
    return st.lists(st.integers(0, 20), min_size=count, max_size=count).filter(any).map(normal)


def normal(numbers):
    return [number / sum(numbers) for number in numbers]


def spent(price, exits):
    """What one sample costs that leaves its stacks at these exits, by the prices of the exits."""
    nodes = {node.name: node.exits for node in price.nodes if node.exits}
    return price["flops.total"] - sum(nodes[name][-1] - nodes[name][exit] for name, exit in exits.items())


@given(shares(DEPTH), shares(DEPTH))
def test_expected_flops_of_several_stacks_are_the_mean_over_all_ways_through_them(seen, told):
    price = mmspec.profile(TWO_STACKS, exit_rates={"seen": seen, "told": told})
    ways = product(range(DEPTH), range(DEPTH))
    mean = sum(seen[i] * told[j] * spent(price, {"seen": i, "told": j}) for i, j in ways)
    assert price["flops.expected"] == pytest.approx(mean, rel=1e-12)
    assert price["flops.expected_uncompacted"] == pytest.approx(mean, rel=1e-12), "a batch of one has one last sample"


@given(st.lists(st.integers(0, 20), min_size=DEPTH**2, max_size=DEPTH**2).filter(any).map(normal))
def test_stacks_need_not_be_independent_for_their_costs_to_add_up(joint):
    """`joint`: how often a sample leaves the first stack at i and the second at j, whatever these have to do with each other."""
    ways = list(product(range(DEPTH), range(DEPTH)))
    rates = {
        name: [sum(p for way, p in zip(ways, joint, strict=True) if way[which] == exit) for exit in range(DEPTH)]
        for which, name in enumerate(("seen", "told"))
    }
    price = mmspec.profile(TWO_STACKS, exit_rates=rates)
    mean = sum(p * spent(price, {"seen": i, "told": j}) for (i, j), p in zip(ways, joint, strict=True))
    assert price["flops.expected"] == pytest.approx(mean, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(shares(DEPTH), st.integers(1, 4))
def test_a_batch_costs_what_enumerating_where_its_samples_leave_gives(rates, batch):
    price = mmspec.profile(SPARSE, batch, exit_rates={"joint": rates})
    compacted = uncompacted = 0.0
    for exits in product(range(DEPTH), repeat=batch):
        chance = prod(rates[exit] for exit in exits)
        compacted += chance * sum(spent(price, {"joint": exit}) / batch for exit in exits)
        uncompacted += chance * spent(price, {"joint": max(exits)})
    assert price["flops.expected"] == pytest.approx(compacted, rel=1e-12)
    assert price["flops.expected_uncompacted"] == pytest.approx(uncompacted, rel=1e-12)


@given(shares(4), st.integers(1, 50))
def test_the_two_ways_to_write_a_batch_that_runs_to_its_last_sample_agree(rates, batch):
    stages = [3.0, 5.0, 7.0, 11.0]
    by_stage = sum((1 - (1 - r) ** batch) * cost for r, cost in zip(reach(rates), stages, strict=True))
    by_exit = sum(q * sum(stages[: exit + 1]) for exit, q in enumerate(last_of(rates, batch)))
    assert by_stage == pytest.approx(by_exit, rel=1e-9)


def test_the_least_is_that_all_leave_at_once_and_the_most_that_none_does():
    price = mmspec.profile(TWO_STACKS)
    assert price["flops.minimum"] == spent(price, {"seen": 0, "told": 0})
    assert price["flops.maximum"] == price["flops.total"]
    first = {"seen": [1, 0, 0], "told": [1, 0, 0]}
    assert mmspec.profile(TWO_STACKS, exit_rates=first)["flops.expected"] == price["flops.minimum"]


def test_one_stack_that_is_not_known_leaves_the_whole_unknown_and_names_itself():
    price = mmspec.profile(TWO_STACKS, exit_rates={"seen": [0.2, 0.3, 0.5]})
    assert price["flops.expected"] is None and price["flops.expected_uncompacted"] is None
    assert "told" in price.unknown["flops.expected"] and "seen" not in price.unknown["flops.expected"]
    assert price["flops.minimum"] is not None


# experts -------------------------------------------------------------------------------------------------------------


def layer_of(price, block=0):
    return next(layer for layer in price["experts"] if layer["module"] == LAYERS[block])


def test_flops_of_an_expert_are_those_of_its_two_matrices():
    layer = layer_of(mmspec.profile(SPARSE))
    assert layer["flops_per_token"] == [2 * 2 * 128 * 512] * 4
    assert layer["parameters"] == [128 * 512 + 512 + 512 * 128 + 128] * 4


def test_without_loads_only_what_even_ones_would_touch_is_said():
    price = mmspec.profile(SPARSE, exit_rates={"joint": [0, 0, 1]})
    layer = layer_of(price)
    assert layer["load"] is None and layer["imbalance"] is None and layer["expected_flops"] is None
    assert layer["touched"]["expected"] is None and layer["weight_bytes"]["expected"] is None
    assert layer["touched"]["even_load"] == pytest.approx(4 * (1 - (1 - 2 / 4) ** 16))
    assert "experts" in price.unknown


def small(count, k):
    """Experts over the four patches of a picture."""
    return read(
        f"""\
name: sparse
inputs: {{image: {{type: image, size: 16, channels: 1}}}}
encoders:
  image:
    {{type: vit, patch_size: 8, width: 8, depth: 1, heads: 1, router: {{type: top_k, experts: {count}, k: {k}}}}}
heads: {{label: {{type: classification, classes: 3}}}}
""",
        CATALOGUE,
    )


@settings(max_examples=15, deadline=None)
@given(shares(3), st.integers(1, 2))
def test_experts_that_are_touched_are_counted_over_all_that_tokens_may_choose(load, batch):
    price = mmspec.profile(small(3, 1), batch, expert_loads={"image": load})
    tokens = 4 * batch
    mean = sum(
        prod(load[expert] for expert in chosen) * len(set(chosen)) for chosen in product(range(3), repeat=tokens)
    )
    (layer,) = price["experts"]
    assert layer["tokens"] == tokens
    assert layer["touched"]["expected"] == pytest.approx(mean, rel=1e-9)
    assert layer["weight_bytes"]["expected"] == pytest.approx(mean * 4 * layer["parameters"][0], rel=1e-9)
    assert layer["touched"]["expected"] <= layer["touched"]["even_load"] + 1e-9
    assert sum(layer["expected_flops"]) == pytest.approx(tokens * layer["flops_per_token"][0])
    assert layer["imbalance"] == pytest.approx(3 * max(load))


@settings(max_examples=20, deadline=None)
@given(shares(DEPTH), st.integers(1, 3))
def test_behind_exits_experts_are_touched_by_those_who_come(rates, batch):
    load = [0.45, 0.3, 0.2, 0.05]
    price = mmspec.profile(SPARSE, batch, exit_rates={"joint": rates}, expert_loads={"joint": load})
    for block in range(DEPTH):
        there = sum(rates[block:])
        layer = layer_of(price, block)
        mean = 0.0
        for come in product((0, 1), repeat=batch):
            chance = prod(there if one else 1 - there for one in come)
            mean += chance * sum(1 - (1 - 2 * share) ** (16 * sum(come)) for share in load)
        assert layer["touched"]["expected"] == pytest.approx(mean, abs=1e-9)
        assert sum(layer["expected_flops"]) == pytest.approx(2 * 16 * batch * there * 2 * 2 * 128 * 512)


def test_even_loads_give_the_formula_of_even_loads():
    price = mmspec.profile(small(8, 2), 5, expert_loads={"image": [1 / 8] * 8})
    (layer,) = price["experts"]
    assert layer["touched"]["expected"] == pytest.approx(8 * (1 - (1 - 2 / 8) ** 20))
    assert layer["touched"]["even_load"] == pytest.approx(layer["touched"]["expected"])


def test_the_longest_name_says_a_layer_s_loads():
    even, odd = [0.25] * 4, [0.4, 0.3, 0.2, 0.1]
    price = mmspec.profile(SPARSE, expert_loads={"joint": even, "joint.blocks.1": odd})
    assert [layer["load"] for layer in price["experts"]] == [even, odd, even]
    assert {layer["source"] for layer in price["experts"]} == {"stated"}


@pytest.mark.parametrize(
    ("loads", "message"),
    [
        ({"joint": [0.5, 0.5]}, "joint must be 4 shares"),
        ({"joint": [0.5, 0.6, -0.1, 0.0]}, "sum to 1"),
        ({"joint": [0.1, 0.1, 0.1, 0.1]}, "sum to 1"),
        ({"joint": [0.7, 0.1, 0.1, 0.1]}, "none gets more than 1/2 of the choices"),
        ({"image": [1.0]}, "'image', which has no experts; modules that have: joint.blocks.0"),
        ({"joint.block": [0.25] * 4}, "'joint.block', which has no experts"),
    ],
)
def test_loads_that_cannot_be_are_refused(loads, message):
    with pytest.raises(UserError, match=message):
        mmspec.profile(SPARSE, expert_loads=loads)
