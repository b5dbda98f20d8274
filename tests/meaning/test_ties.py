"""Nodes that share weights are one module that runs as often as there are nodes."""

import pytest
import torch

import mmspec
from mmspec.backend import build_graph
from mmspec.components import CATALOGUE
from mmspec.drawing import draw
from mmspec.ir import parameters
from mmspec.passes import lower, lower_serving
from mmspec.spec import SpecError, read
from mmspec.testing import check_spec, randomise

TWO = """\
name: two
inputs:
  left: {type: image, size: 16, channels: 1}
  right: {type: image, size: 16, channels: 1}
encoders:
  left: {type: vit, patch_size: 8, width: 16, depth: 2, heads: 2, class_token: true}
  right: {type: vit, tie: left}
fusion:
  joint: {type: concat, from: [left, right.patches]}
heads:
  label: {type: classification, classes: 3}
objectives:
  - {type: cross_entropy, target: answer}
"""
APART = TWO.replace(
    "{type: vit, tie: left}", "{type: vit, patch_size: 8, width: 16, depth: 2, heads: 2, class_token: true}"
)


def tied(text=TWO):
    return read(text, CATALOGUE)


def pixels(seed):
    return torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(seed))


def test_graph_price_module_and_source_of_a_tied_spec_agree():
    check_spec(tied())


TEXTS = """\
name: texts
inputs:
  query: {type: text, vocab_size: 20, length: 6}
  document: {type: text, vocab_size: 20, length: 6}
encoders:
  query: {type: text_transformer, width: 16, depth: 1, heads: 2}
  document: {type: text_transformer, tie: query}
fusion:
  joint: {type: cross_attention, from: [query, document], depth: 1, heads: 2}
heads:
  label: {type: classification, classes: 3}
objectives:
  - {type: cross_entropy, target: answer}
"""


def test_texts_of_different_lengths_go_through_one_encoder_in_training_and_in_serving_form():
    check_spec(tied(TEXTS))
    model = mmspec.build(tied(TEXTS)).eval()
    randomise(model)
    serving = mmspec.build(tied(TEXTS), form="serving").eval()
    serving.load_state_dict(model.state_dict())
    generator = torch.Generator().manual_seed(3)
    texts = {
        "query": torch.randint(1, 20, (2, 6), generator=generator),
        "document": torch.randint(1, 20, (2, 4), generator=generator),
    }
    assert torch.allclose(model(**texts)["label"], serving(**texts)["label"], atol=1e-5)


def test_tied_nodes_compute_what_two_of_the_same_weights_compute():
    one, two = mmspec.build(tied()).eval(), mmspec.build(tied(APART)).eval()
    randomise(one)
    state = one.state_dict()
    copied = {name.replace("left.", "right.", 1): tensor for name, tensor in state.items() if name.startswith("left.")}
    assert copied
    two.load_state_dict({**state, **copied})
    images = {"left": pixels(1), "right": pixels(2)}
    assert torch.equal(one(**images)["label"], two(**images)["label"])


def test_the_gradient_of_a_shared_weight_is_the_sum_over_its_nodes():
    one, two = mmspec.build(tied()), mmspec.build(tied(APART))
    randomise(one)
    state = one.state_dict()
    two.load_state_dict(
        {**state, **{name.replace("left.", "right.", 1): t for name, t in state.items() if name.startswith("left.")}}
    )
    for model in (one, two):
        model.eval()(left=pixels(1), right=pixels(2))["label"].square().sum().backward()
    apart = dict(two.named_parameters())
    for name, parameter in one.named_parameters():
        if name.startswith("left."):
            twin = apart[name.replace("left.", "right.", 1)].grad
            assert torch.allclose(parameter.grad, apart[name].grad + twin, rtol=1e-4, atol=1e-5)


def test_shared_parameters_count_once_and_flops_as_often_as_they_run():
    one, two = mmspec.profile(tied()), mmspec.profile(tied(APART))
    left, right = one.nodes[:2]
    assert (left.flops, right.parameters) == (right.flops, 0)
    assert one["flops.total"] == two["flops.total"]
    assert two["parameters.total"] - one["parameters.total"] == left.parameters
    assert one["memory.weights"] == 4 * one["parameters.total"]


def test_shared_weights_are_stored_once():
    names = set(mmspec.build(tied()).state_dict())
    assert not any(name.startswith("right.") for name in names)
    assert names == {placed.path for placed in parameters(lower(tied()))}


def test_what_is_printed_says_the_tie():
    assert "right: f32[B, 5, 16], patches_2: f32[B, 4, 16] = vit(inputs.right) {tie: left}" in str(lower(tied()))


def test_what_is_drawn_says_whose_weights_a_node_has():
    graph = lower(tied())
    drawing = draw(graph, mmspec.profile(tied()))
    assert drawing.count(">weights of left<") == 1
    assert drawing.count(">7.73 k parameters<") == 1


def test_fields_that_are_not_written_are_taken_over_and_a_resolved_spec_means_the_same():
    spec = tied()
    assert spec.encoders["right"].depth == 2
    assert tied(spec.to_yaml()) == spec
    frozen = tied(TWO.replace("class_token: true}", "class_token: true, frozen: true}"))
    assert {p.path.partition(".")[0] for p in parameters(lower(frozen)) if not p.parameter.trainable} == {"left"}


def test_a_chain_of_ties_ends_at_the_node_that_has_weights():
    text = TWO.replace("fusion:", "  third: {type: vit, tie: right, from: inputs.right}\nfusion:").replace(
        "right.patches]", "right, third]"
    )
    spec = tied(text)
    assert [node.parameters for node in mmspec.profile(spec).nodes if node.role == "encoders"].count(0) == 2
    check_spec(spec)


def test_a_node_may_stand_before_the_one_whose_weights_it_shares():
    text = TWO.replace("  right: {type: vit, tie: left}\n", "").replace(
        "encoders:\n", "encoders:\n  right: {type: vit, tie: left}\n"
    )
    assert next(node.name for node in tied(text).nodes) == "right"
    check_spec(tied(text))


def test_heads_share_weights_too_and_the_serving_form_knows_it():
    text = TWO.replace(
        "  label: {type: classification, classes: 3}",
        "  label: {type: classification, classes: 3, from: joint}\n  other: {type: classification, classes: 3, from: left, tie: label}",
    ).replace("{type: cross_entropy,", "{type: cross_entropy, head: label,")
    model = build_graph(lower_serving(tied(text))).eval()
    assert not any(name.startswith("other.") for name in model.state_dict())
    training = mmspec.build(tied(text)).eval()
    training.load_state_dict(model.state_dict())
    images = {"left": pixels(1), "right": pixels(2)}
    for name, value in model(**images).items():
        assert torch.equal(value, training(**images)[name])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("right: {type: image, size: 16, channels: 1}", "right: {type: image, size: 16, channels: 3}", r"patches\.weight would be \[16, 3, 8, 8\] here and is \[16, 1, 8, 8\] there"),
        ("right: {type: image, size: 16, channels: 1}", "right: {type: image, size: 24, channels: 1}", r"position would be \[10, 16\] here and is \[5, 16\] there"),
    ],
)  # fmt: skip
def test_what_reads_other_sizes_cannot_share(before, after, message):
    with pytest.raises(SpecError, match=rf"right cannot share the weights of 'left'\n --> <text>:7:27(?s:.*){message}"):
        lower(tied(TWO.replace(before, after)))


@pytest.mark.slow
def test_a_tied_spec_exports_and_its_file_holds_the_weights_once(tmp_path):
    report = mmspec.export(tied(), "edge_cpu_fp32", tmp_path / "out")
    file = report.path
    assert file.stat().st_size < 4 * mmspec.profile(tied(APART))["parameters.total"] + 40_000
