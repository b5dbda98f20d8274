"""Prices: sums of their nodes, and expectations that are computed or said to be unknown, never invented."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmspec
from mmspec.errors import UserError

SPEC = mmspec.load("fusion_gated", ["fusion.joint.depth=3"])
shares = st.lists(st.integers(0, 20), min_size=3, max_size=3).filter(any).map(lambda n: [part / sum(n) for part in n])


def test_totals_are_sums_over_nodes_and_over_roles():
    price = mmspec.profile(SPEC).to_dict()
    assert price["parameters"]["total"] == sum(node["parameters"] for node in price["nodes"])
    assert price["flops"]["total"] == sum(node["flops"] for node in price["nodes"])
    assert price["flops"]["total"] == sum(role["flops"] for role in price["roles"].values())


def test_where_samples_leave_is_unknown_until_it_is_said():
    price = mmspec.profile(SPEC)
    assert price["flops.expected"] is None
    assert "joint" in price.unknown["flops.expected"]
    joint = next(node for node in price.nodes if node.name == "joint")
    image = next(node for node in price.nodes if node.name == "image")
    assert joint.expected is None
    assert image.expected == image.flops


@given(shares)
def test_expected_flops_are_the_mean_over_exits(rates):
    price = mmspec.profile(SPEC, exit_rates={"joint": rates})
    joint = next(node for node in price.nodes if node.name == "joint")
    rest = price["flops.total"] - joint.exits[-1]
    enumerated = sum(rate * (rest + spent) for rate, spent in zip(rates, joint.exits, strict=True))
    assert price["flops.expected"] == pytest.approx(enumerated, rel=1e-12)
    assert price["flops.expected"] == pytest.approx(sum(node.expected for node in price.nodes), rel=1e-12)


def test_samples_that_all_go_to_the_end_cost_everything():
    assert (
        mmspec.profile(SPEC, exit_rates={"joint": [0, 0, 1]})["flops.expected"] == mmspec.profile(SPEC)["flops.total"]
    )


def test_a_model_that_cannot_halt_is_expected_to_cost_what_it_costs():
    price = mmspec.profile(mmspec.load("fusion_cross"))
    assert price["flops.expected"] == price["flops.total"]


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"joint": [0.5, 0.5]}, "joint must be 3 shares"),
        ({"joint": [0.5, 0.6, 0.1]}, "sum to 1"),
        ({"joint": [1.5, -0.5, 0.0]}, "sum to 1"),
        ({"image": [1.0]}, "'image', which does not halt"),
    ],
)
def test_rates_that_are_no_distribution_are_refused(rates, message):
    with pytest.raises(UserError, match=message):
        mmspec.profile(SPEC, exit_rates=rates)


def test_flops_grow_with_the_batch_and_weights_do_not():
    one, eight = mmspec.profile(SPEC), mmspec.profile(SPEC, batch=8)
    assert eight["flops.total"] == 8 * one["flops.total"]
    assert eight["memory.weights"] == one["memory.weights"]
    with pytest.raises(UserError, match="at least one sample"):
        mmspec.profile(SPEC, batch=0)


def test_a_token_meets_k_experts_and_active_parameters_say_so():
    price = mmspec.profile(SPEC)
    expert = 128 * 512 + 512 + 512 * 128 + 128
    assert price["parameters.total"] - price["parameters.active"] == 3 * 2 * expert


def test_what_is_not_known_is_null_with_the_reason():
    price = mmspec.profile(SPEC).to_dict()
    assert price["memory"]["peak_training"] is None
    assert set(price["unknown"]) == {"memory.peak_training", "flops.expected", "flops.expected_uncompacted", "experts"}
