"""The ledger adds up to the price, line by line, and its backward is what torch computes."""

import math

import pytest
import torch
from random_specs import random_spec
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import mmspec
from mmspec import shipped
from mmspec.backend.runtime import Loop
from mmspec.cost import Sizes
from mmspec.cost.ledger import ledger
from mmspec.passes import lower_objectives
from mmspec.testing import bound_sizes, costliest, example, forced, roomy

BUILT_WHOLE = 5_000_000  # parameters; what has more is built as its variant `small`


def convolution_backward(
    gradient, x, weight, _bias, _stride, _padding, _dilation, transposed, _out, _groups, asked, **_
):
    """A product for the input's gradient and one for the kernel's, each as large as the forward one. torch's own formula takes
    every filter for as wide as all groups together."""
    assert not transposed
    return 2 * math.prod(gradient) * math.prod(weight[1:]) * (asked[0] + asked[1])


def counted(model, inputs, wanted):
    """FLOPs that torch counts forward and backward, with attention written out."""
    corrected = {torch.ops.aten.convolution_backward: convolution_backward}
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=corrected) as forward:
        outputs = model(**inputs)
    asked = [value for name, value in outputs.items() if wanted is None or name in wanted]
    loss = sum(value.sum() for value in asked if value is not None and value.requires_grad)
    with FlopCounterMode(display=False, custom_mapping=corrected) as backward:
        loss.backward()
    return forward.get_total_flops(), backward.get_total_flops()


def counted_and_written(spec):
    graph, model = mmspec.lower(spec), mmspec.build(spec).train()
    inputs = example(graph, 2)
    price = mmspec.profile(spec)
    branches = {node.name: node.branches for node in price.nodes if node.branches}
    loops = {name: module for name, module in model.named_modules() if isinstance(module, Loop)}
    wanted = {value.name for value in lower_objectives(spec).inputs} if spec.objectives else None
    bill = ledger(spec, graph, Sizes(dict(bound_sizes(graph, inputs))), fused=False)
    with roomy(model), costliest(model, branches), forced(loops, None, never=True):  # data decide no more
        seen = counted(model, inputs, wanted)
    return seen, (bill.forward.flops, bill.backward.flops)


@pytest.mark.parametrize("name", shipped.names("specs"))
def test_the_lines_of_every_shipped_spec_add_up_to_its_price(name):
    price = mmspec.profile(mmspec.load(name))
    assert price.ledger.forward.flops == price["flops.total"]
    assert price.ledger.parameters == price["parameters.total"]
    for entry, _ in price.ledger.walk():
        if entry.children:
            assert entry.forward.flops == sum(child.forward.flops * child.times for child in entry.children)
            assert entry.parameters == sum(child.parameters * child.copies for child in entry.children)


@pytest.mark.parametrize("seed", range(40))
def test_the_lines_of_random_specs_add_up_to_their_price(seed):
    price = mmspec.profile(random_spec(seed), batch=3)
    assert price.ledger.forward.flops == price["flops.total"]
    assert price.ledger.parameters == price["parameters.total"]


@pytest.mark.parametrize("name", shipped.names("specs"))
def test_backward_of_every_shipped_spec_is_what_torch_computes(name):
    spec = mmspec.load(name)
    if mmspec.profile(spec)["parameters.total"] > BUILT_WHOLE:
        spec = mmspec.load(name, variant="small")
    seen, written = counted_and_written(spec)
    assert written == seen


@pytest.mark.parametrize("seed", range(40))
def test_backward_of_random_specs_is_what_torch_computes(seed):
    spec = random_spec(seed)
    seen, written = counted_and_written(spec)
    if any(
        op.kind == "draw_say" for op in operations(mmspec.lower(spec))
    ):  # in training, tokens that inference leaves out
        assert written[0] <= seen[0]
    else:
        assert written == seen


def operations(graph):
    return [op for each in graph.ops for op in (each, *(inner for body in each.bodies for inner in operations(body)))]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("fusion_concat", ["encoders.image.frozen=true"]),
        ("fusion_concat", ["encoders.text.frozen=true", "fusion.joint.frozen=true"]),
        ("clip_vit_b32", ["encoders.image.frozen=true"]),
        ("fusion_gated", ["heads.label.frozen=true", "encoders.image.frozen=true"]),
    ],
)
def test_what_is_frozen_gets_no_gradients_but_passes_them_on(name, changes):
    variant = "small" if name == "clip_vit_b32" else None
    seen, written = counted_and_written(mmspec.load(name, changes, variant=variant))
    assert written == seen


def test_a_fused_attention_computes_its_scores_once_more():
    spec = mmspec.load("fusion_concat")
    graph = mmspec.lower(spec)
    kept, fused = (ledger(spec, graph, Sizes({"B": 1, **graph.limits}), fused) for fused in (False, True))
    assert fused.backward.attention - kept.backward.attention == kept.forward.attention // 2
    assert fused.backward.linear == kept.backward.linear


def test_a_pass_reads_each_weight_once_however_large_the_batch():
    spec = mmspec.load("fusion_concat")
    one, two = (mmspec.profile(spec, batch=size).ledger.forward for size in (1, 2))
    assert one.read < two.read < 2 * one.read
    assert two.written == 2 * one.written


def test_a_pass_reads_the_weights_of_as_many_experts_as_are_chosen():
    spec = mmspec.load("mixtral_8x7b")
    few, many = (mmspec.profile(spec, text=length) for length in (1, 64))
    assert few.ledger.forward.read == pytest.approx(4 * few["parameters.active"], rel=0.02)
    experts = 4 * (many["parameters.total"] - many["parameters.active"])  # 6 of 8
    assert many.ledger.forward.read - few.ledger.forward.read == pytest.approx(experts, rel=0.02)
