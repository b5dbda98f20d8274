"""Passes: valid in, valid out, the same numbers and the same names of parameters."""

import json

import pytest
import torch
from random_specs import random_spec

from mmspec.backend import build_graph
from mmspec.components import CATALOGUE
from mmspec.ir import parameters
from mmspec.ir.printing import find
from mmspec.passes import drop_dropout, drop_unused, keep_inference_outputs, lower, serving
from mmspec.passes.lowering import lower_plain
from mmspec.spec import read
from mmspec.testing import example, randomise


def spec_with(**changes):
    data = {
        "name": "streams",
        "inputs": {"image": {"type": "image", "size": 8}, "text": {"type": "text", "vocab_size": 9, "length": 5}},
        "encoders": {
            "image": {"type": "vit", "patch_size": 4, "width": 8, "depth": 1, "heads": 2, "dropout": 0.5},
            "text": {"type": "text_transformer", "width": 8, "depth": 1, "heads": 2, "router": "top_k"},
        },
        "fusion": {"joint": {"type": "transformer", "streams": "multi", "heads": 2, "dropout": 0.5, "router": "top_k"}},
        "heads": {"label": {"type": "classification", "classes": 3, "from": "joint.image"}},
        "objectives": [{"type": "cross_entropy", "target": "answer"}],
    }
    return read(json.dumps(data | changes), CATALOGUE)


@pytest.mark.parametrize("seed", range(60))
def test_every_form_of_a_spec_computes_the_same_with_the_same_parameters(seed):
    plain = lower_plain(random_spec(seed))
    model = build_graph(plain).eval()
    randomise(model)
    inputs = example(plain, 3)
    with torch.no_grad():
        expected = model(**inputs)
    for graph in (drop_unused(plain), serving(plain), serving(drop_unused(plain))):
        other = build_graph(graph).eval()
        names = other.state_dict().keys()  # how much noise there is in training, no one asks who answers
        other.load_state_dict(
            {k: v for k, v in model.state_dict().items() if k in names or not k.endswith(".spread.weight")}
        )
        with torch.no_grad():
            found = other(**inputs)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)


def test_what_nobody_reads_is_not_returned():
    plain = lower_plain(spec_with())
    assert set(find(plain, "joint").outputs) == {"joint", "image", "text", "joint_mask", "balance"}
    assert set(find(drop_unused(plain), "joint").outputs) == {"joint", "image", "balance"}


def test_serving_has_no_dropout_and_no_losses():
    graph = serving(lower(spec_with()))
    assert "dropout" not in str(find(graph, "image")) + str(find(graph, "joint.blocks.0.text"))
    assert set(graph.outputs) == {"label"}
    assert "balance" not in find(graph, "text").outputs
    assert "balance" not in find(graph, "joint.blocks.0").outputs


def test_no_pass_loses_a_parameter():
    plain = lower_plain(spec_with())
    names = [placed.path for placed in parameters(plain)]
    for each in (drop_unused, drop_dropout, keep_inference_outputs, serving):
        assert [placed.path for placed in parameters(each(plain))] == names


@pytest.mark.parametrize("seed", range(20))
def test_passes_do_nothing_the_second_time(seed):
    once = drop_unused(lower_plain(random_spec(seed)))
    assert str(drop_unused(once)) == str(once)


def test_an_output_that_is_asked_for_is_kept():
    graph = lower(spec_with(outputs=["joint.text", "joint"]))
    assert set(graph.outputs) >= {"label", "joint.text", "joint"}
