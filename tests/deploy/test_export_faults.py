"""Each fault is found by a gate, and by the earliest that can see it; a change that is none passes both."""

from dataclasses import replace

import many_faults as many
import pytest

pytestmark = pytest.mark.slow
RUN = {  # nothing but running the file can tell these
    "frozen_size", "swapped_outputs", "ignored_mask", "exchanged_branches", "coarse_norm", "second_choice", "untransposed", "scaled",
    "frozen_length", "keys_for_queries", "experts_exchanged", "norms_exchanged", "softmax_over_queries", "softmax_over_samples",
    "router_over_tokens", "gelu_by_tanh", "gelu_of_an_expert_by_tanh", "relu_for_gelu", "epsilon_of_1e-3", "no_residual",
    "masked_rows_average", "no_scores_are_masked", "gate_open_for_both", "tanh_for_the_gate", "experts_unnormalised",
    "experts_unweighted", "largest_for_the_mean", "sum_for_the_mean", "half_an_expert", "expert_without_bias", "leaves_when_unsure",
    "exits_turned", "gate_turned", "half_precision", "one_ten_thousandth_more", "classes_exchanged", "logits_clipped", "needs_tokens",
}  # fmt: skip


@pytest.mark.parametrize("name", many.FAULTS)
def test_a_fault_is_found_by_the_earliest_gate_that_can_see_it(flagship, name):
    wrong = replace(flagship, proto=many.FAULTS[name](flagship.proto))
    assert many.gate_that_finds(wrong) == ("parity" if name in RUN else "structure")


def test_a_copy_is_no_fault(flagship):
    assert len(many.FAULTS) >= 70
    assert many.gate_that_finds(replace(flagship, proto=many.copied(flagship.proto))) is None
