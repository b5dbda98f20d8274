"""What is expected from rates measured on some samples is what other samples cost, within what chance allows."""

from math import sqrt

import pytest
import torch
from test_exit_cost import DEPTH, counted, halting, price
from tiny_models import example

import mmspec
from mmspec.training.metrics import evaluating

SAMPLES = 256


def drawn(seed: int) -> dict[str, torch.Tensor]:
    return example(batch=SAMPLES, seed=seed)


@pytest.mark.parametrize(
    "fusion", ["type: gated", "type: transformer", "type: gated, router: {type: top_k, experts: 3, k: 2}"]
)
def test_a_run_costs_what_is_expected_of_it_within_three_standard_errors(fusion: str) -> None:
    model, made = halting(fusion)
    known, fresh = drawn(1), drawn(2)
    with evaluating(model):
        levels = []
        for block in range(DEPTH - 1):  # about two in five are sure enough after each block
            model.joint.blocks.force(block)
            levels.append(model(**known)["label"].softmax(-1).amax(-1).quantile(0.6))
        model.joint.blocks.thresholds.copy_(torch.stack(levels))
        exits = model(**known)["label.exit"]
    rates = [float((exits == exit).double().mean()) for exit in range(DEPTH)]
    assert min(rates) > 0.02
    profile = mmspec.profile(made, exit_rates={"joint": rates})
    measured = counted(model, fresh) / SAMPLES
    costs = torch.tensor([price(profile, exit) for exit in exits.tolist()], dtype=torch.float64)
    error = float(costs.std()) * sqrt(2 / SAMPLES)  # of the difference of two means: rates were measured too
    assert abs(measured - profile["flops.expected"]) <= 3 * error
