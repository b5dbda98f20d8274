"""Experts on several devices: what travels, and that it changes nothing."""

import pytest
import torch

import mmspec
from mmspec.backend.placement import distribute
from mmspec.errors import UserError
from mmspec.testing import example

PLACED = "fusion.joint.router={type: top_k, experts: 4, k: 2, placement: [0, 0, 1, 2]}"


def test_half_of_what_is_chosen_travels_there_and_back_where_half_of_the_experts_stand_elsewhere():
    """Two blocks, 16 tokens, two choices each, half of them elsewhere; 128 channels of four bytes, to and fro."""
    price = mmspec.profile(mmspec.load("fusion_gated", [PLACED]), batch=3)
    assert price["communication.bytes"] == 2 * (3 * 16 * 2 // 2) * 128 * 4 * 2
    assert mmspec.profile(mmspec.load("fusion_gated"))["communication.bytes"] == 0


def test_a_placed_model_computes_what_it_computed():
    spec = mmspec.load("fusion_gated", [PLACED])
    model = mmspec.build(spec).eval()
    inputs = example(mmspec.lower(spec), 3)
    with torch.no_grad():
        before = model(**inputs)["label"]
        assert torch.equal(distribute(model, ["cpu"] * 3)(**inputs)["label"], before)


def test_an_expert_stands_on_the_device_that_the_spec_says():
    """The device `meta` has no numbers, and shows where things are."""
    model = distribute(mmspec.build(mmspec.load("fusion_gated", [PLACED])), ["cpu", "cpu", "meta"])
    experts = model.joint.blocks[0].feed_forward.experts
    assert [next(expert.parameters()).device.type for expert in experts] == ["cpu", "cpu", "cpu", "meta"]


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="places an expert on device 2, and there are 2"):
        distribute(mmspec.build(mmspec.load("fusion_gated", [PLACED])), ["cpu", "cpu"])
