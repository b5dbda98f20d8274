"""The ledger adds up to the price, line by line, and its backward is what torch computes."""

import pytest
from random_specs import random_spec
from torch.utils.flop_counter import FlopCounterMode

import mmspec
from mmspec import shipped
from mmspec.testing import example


def trained(name, changes=(), variant=None):
    """FLOPs of forward and backward that torch counts in a training step, attention written out, and our own."""
    spec = mmspec.load(name, changes, variant=variant)
    graph, model = mmspec.lower(spec), mmspec.build(spec).train()
    inputs = example(graph, 2)
    with FlopCounterMode(display=False) as counter:
        outputs = model(**inputs)
    forward = counter.get_total_flops()
    wanted = {value.name for value in mmspec.lower_objectives(spec).inputs}
    loss = sum(value.sum() for key, value in outputs.items() if key in wanted)
    with FlopCounterMode(display=False) as counter:
        loss.backward()
    return forward, counter.get_total_flops(), spec, graph, inputs


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


def test_a_pass_reads_each_weight_once_however_large_the_batch():
    spec = mmspec.load("fusion_concat")
    one, two = (mmspec.profile(spec, batch=size).ledger.forward for size in (1, 2))
    assert one.read < two.read < 2 * one.read
    assert two.written == 2 * one.written
