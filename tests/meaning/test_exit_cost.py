"""An exit saves what the profile says that it saves: FLOPs that torch counts, against the price of the exit."""

import pytest
import torch
from tiny_models import built, example, spec
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import mmspec
from mmspec.cost import Profile
from mmspec.spec import ModelSpec

DEPTH, BATCH = 3, 6
FUSIONS = [
    "type: concat",
    "type: attention",
    "type: gated",
    "type: cross_attention",
    "type: transformer",
    "type: transformer, streams: multi",
    "type: gated, router: {type: top_k, experts: 3, k: 2}",
]


def halting(fusion: str) -> tuple[nn.Module, ModelSpec]:
    made = spec(f"{fusion}, depth: {DEPTH}, halting: {{type: confidence, head: label}}", outputs=["label.exit"])
    model = built(made)
    model.label.output.weight.data.mul_(4)  # answers of all degrees of confidence
    return model, made


def counted(model: nn.Module, inputs: dict[str, Tensor]) -> int:
    """FLOPs of linear, convolution and attention, attention written out as matrix products."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(**inputs)
    return int(counter.get_total_flops())


def price(profile: Profile, exit: int) -> int:
    """One sample, all nodes, its fusion up to that exit."""
    nodes = profile.to_dict()["nodes"]
    by_exit = next(node["flops_by_exit"] for node in nodes if node["name"] == "joint")
    return int(profile["flops.total"]) - by_exit[-1] + by_exit[exit]


def set_apart(model: nn.Module, inputs: dict[str, Tensor]) -> None:
    """Thresholds in the middle of what the samples are sure of after each block."""
    stages, middles = model.joint.blocks, []
    for block in range(DEPTH - 1):
        stages.force(block)
        sure = model(**inputs)["label"].softmax(-1).amax(-1).sort().values
        middles.append((sure[BATCH // 2 - 1] + sure[BATCH // 2]) / 2)
    stages.thresholds.copy_(torch.stack(middles))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_forced_exit_costs_what_the_profile_says(fusion: str) -> None:
    model, made = halting(fusion)
    profile = mmspec.profile(made)
    for exit in range(DEPTH):
        model.joint.blocks.force(exit)
        assert counted(model, example(batch=2)) == 2 * price(profile, exit)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_batch_costs_the_sum_of_what_its_samples_cost(fusion: str) -> None:
    (model, made), inputs = halting(fusion), example(batch=BATCH)
    set_apart(model, inputs)
    exits = model(**inputs)["label.exit"].tolist()
    assert len(set(exits)) > 1
    cost = counted(model, inputs)
    profile = mmspec.profile(made, exit_rates={"joint": [exits.count(exit) / BATCH for exit in range(DEPTH)]})
    assert cost == sum(price(profile, exit) for exit in exits)
    assert profile["flops.expected"] == pytest.approx(cost / BATCH)
