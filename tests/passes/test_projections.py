"""The serving form: one matrix product where several layers read one value, and the same names for the same weights."""

import copy
import pickle

import pytest
import torch

import mmspec
from mmspec.backend.runtime import InferenceLinear
from mmspec.components import CATALOGUE
from mmspec.ir import Graph, parameters
from mmspec.passes import join_projections, lower_serving, products_for_inference
from mmspec.spec import ModelSpec, read
from mmspec.testing import counted_flops, example, randomise

TEXT = """
name: tiny
inputs: {image: {type: image, size: 8}, text: {type: text, vocab_size: 11, length: 6}}
encoders:
  image: {type: vit, patch_size: 4, width: 16, depth: 2, heads: 2, dropout: 0.1}
  text: {type: text_transformer, width: 16, depth: 2, heads: 4, kv_heads: 2, gated: true, key_bias: false, position: rotary}
fusion:
  joint: {type: gated, from: [image, text], depth: 2, heads: 2, router: {type: top_k, experts: 3, k: 2},
          halting: {type: confidence, head: label, threshold: 0.4}}
heads: {label: {type: classification, classes: 3}}
objectives: [{type: cross_entropy, target: answer}]
"""


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return read(TEXT, CATALOGUE)


def operations(graph: Graph) -> list[tuple[str, str]]:
    return [pair for op in graph.ops for pair in [(op.kind, op.name), *(p for b in op.bodies for p in operations(b))]]


def test_layers_that_read_one_value_are_one_product(spec: ModelSpec) -> None:
    joined = join_projections(lower_serving(spec))
    found = [name for kind, name in operations(joined) if kind == "projections"]
    assert found.count("query_key_value") == 3, "an image block's, a text block's, a fusion block's self-attention"
    assert found.count("key_value") == 1, "cross-attention asks with another value"
    assert found.count("gate_up") == 1
    alone = {name for kind, name in operations(joined) if kind == "linear"}
    assert not alone & {"key", "value", "up_gate"} and {"query", "output", "down", "up"} <= alone


def test_parameters_keep_their_names_their_order_and_their_initialisation(spec: ModelSpec) -> None:
    plain = lower_serving(spec)
    found = [parameters(graph) for graph in (join_projections(plain), plain)]
    assert [(p.path, p.parameter.shape, p.parameter.init) for p in found[0]] == [
        (p.path, p.parameter.shape, p.parameter.init) for p in found[1]
    ]


def both(spec: ModelSpec) -> tuple[torch.nn.Module, torch.nn.Module, dict[str, torch.Tensor]]:
    training = mmspec.build(spec).eval()
    randomise(training)
    serving = mmspec.build(spec, form="serving")
    serving.load_state_dict(training.state_dict())
    return training, serving, example(mmspec.lower(spec), 4)


def test_the_serving_form_loads_what_was_trained_and_gives_the_same_answers(spec: ModelSpec) -> None:
    training, serving, inputs = both(spec)
    assert {name: tuple(t.shape) for name, t in serving.state_dict().items()} == {
        name: tuple(t.shape) for name, t in training.state_dict().items()
    }
    for name, tensor in serving.state_dict().items():
        assert tensor.equal(training.state_dict()[name])
    assert serving(**inputs)["label"].allclose(training(**inputs)["label"], atol=1e-5)
    assert not serving.training and not any(p.requires_grad for p in serving.parameters())
    assert counted_flops(serving, inputs) == counted_flops(training, inputs)


def test_a_build_of_either_form_from_one_seed_has_the_same_weights(spec: ModelSpec) -> None:
    states = []
    for form in ("training", "serving"):
        torch.manual_seed(3)
        states.append(mmspec.build(spec, form=form).state_dict())
    assert all(states[0][name].equal(states[1][name]) for name in states[0])


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_a_copy_keeps_the_names(spec: ModelSpec, copied) -> None:
    _, serving, inputs = both(spec)
    twin = copied(serving)
    assert twin.state_dict().keys() == serving.state_dict().keys()
    twin.load_state_dict(serving.state_dict())
    assert twin(**inputs)["label"].equal(serving(**inputs)["label"])
    assert twin.double().state_dict()["text.blocks.0.attention.key.weight"].dtype == torch.float64


def test_a_state_that_lacks_a_layer_or_has_another_shape_is_refused(spec: ModelSpec) -> None:
    _, serving, _ = both(spec)
    state = serving.state_dict()
    name = "image.blocks.1.attention.key.weight"
    with pytest.raises(RuntimeError, match=f"Missing key.*{name}"):
        serving.load_state_dict({key: tensor for key, tensor in state.items() if key != name})
    with pytest.raises(RuntimeError, match=name):
        serving.load_state_dict({**state, name: torch.zeros(16, 8)})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        serving.load_state_dict({**state, "image.blocks.1.attention.keys.weight": torch.zeros(1)})


def test_products_are_torchs_where_a_gradient_is_asked_for_and_else_agree_with_them() -> None:
    torch.manual_seed(0)
    layer, plain = InferenceLinear(24, 40), torch.nn.Linear(24, 40)
    layer.load_state_dict(plain.state_dict())
    x = torch.randn(3, 5, 24)
    layer(x).square().sum().backward()
    plain(x).square().sum().backward()
    assert layer.weight.grad is not None and plain.weight.grad is not None
    assert layer.weight.grad.equal(plain.weight.grad)
    with torch.no_grad():
        for given in (x, x.transpose(0, 1), x[0, 0], x[:0], x[:, :1].expand(-1, 5, -1)):
            assert layer(given).shape == plain(given).shape and layer(given).allclose(plain(given), atol=1e-5)
        assert layer.double()(x.double()).equal(plain.double()(x.double()))


def test_every_product_of_the_serving_form_is_one_for_inference(spec: ModelSpec) -> None:
    plain = lower_serving(spec)
    graph = products_for_inference(plain)
    kinds = [kind for kind, _ in operations(graph)]
    assert "linear" not in kinds and kinds.count("inference_linear") == [k for k, _ in operations(plain)].count(
        "linear"
    )
    assert [p.path for p in parameters(graph)] == [p.path for p in parameters(plain)]
