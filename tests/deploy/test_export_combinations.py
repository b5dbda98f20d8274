"""Every fusion, router and halting passes the gates; which parameters matter is known before anything is traced."""

import pytest
import small_exports as small
import torch

from mmspec.backend import build_graph
from mmspec.deploy.cases import plain_case, randomised
from mmspec.deploy.contract import contract_of
from mmspec.deploy.liveness import live_parameters
from mmspec.deploy.target import load_target
from mmspec.deploy.watching import stacks_of
from mmspec.passes import lower_serving

TARGET = load_target("edge_cpu_fp32")


@pytest.mark.slow
@pytest.mark.parametrize("make", [small.every_fusion, small.two_stacks], ids=lambda make: make.__name__)
def test_it_is_exported_and_agrees_with_torch(make):
    draft = small.draft(make())
    draft.check()
    parity = draft.prove()
    assert max(parity.max_error.values()) <= 1e-5
    assert parity.excused == 0
    for name in (port.name for port in draft.contract.outputs if port.name.endswith(".exit")):
        assert any(min(case.exits[name]) > 0 and len(case.exits[name]) == 2 for case in parity.compared), (
            f"{name} never mixed"
        )


@pytest.mark.parametrize(
    "make",
    [
        small.flagship,
        small.every_fusion,
        small.two_stacks,
        lambda: small.spec({"joint": small.FUSIONS["multi"] + ", depth: 2"}, {"label": "from: joint.image"}),
    ],
    ids=["flagship", "every_fusion", "two_stacks", "one_stream_of_two"],
)
def test_the_parameters_that_matter_are_those_that_torch_differentiates(make):
    spec = make()
    graph = lower_serving(spec)
    contract = contract_of(spec, graph, TARGET)
    module = randomised(build_graph(graph), graph, seed=1).eval()
    for stack in stacks_of(module).values():
        stack.force(len(stack) - 1)
    outputs = module(*plain_case(contract, 32, seed=1).inputs)
    sum(value.sum() for value in outputs.values() if value.is_floating_point()).backward()
    reached = {name for name, parameter in module.named_parameters() if parameter.grad is not None}
    assert live_parameters(graph) == reached


def test_what_a_stream_that_nobody_reads_does_in_the_last_block_does_not_matter():
    spec = small.spec({"joint": small.FUSIONS["multi"] + ", depth: 2"}, {"label": "from: joint.image"})
    live = live_parameters(lower_serving(spec))
    assert any(name.startswith("joint.blocks.0.text.") for name in live)
    assert not any(name.startswith("joint.blocks.1.text.") for name in live)


def test_random_weights_leave_no_parameter_at_its_initial_value():
    graph = lower_serving(small.flagship())
    module = build_graph(graph)
    drawn = dict(randomised(module, graph, seed=0).named_parameters())
    for name, parameter in module.named_parameters():
        assert not torch.isclose(parameter, drawn[name]).any(), name
