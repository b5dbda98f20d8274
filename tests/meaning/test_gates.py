"""What gates and weights let through: opened and closed by hand, looked at by gradients."""

import pytest
import torch
from influence import influence, itself, run
from reference import Weights, feed_forward, layer_norm
from tiny_models import assert_agree, built, example, spec
from torch import nn

IMAGE = 9


def set_to(model: nn.Module, **values: float) -> None:
    """Fill parameters of the first block, `gate__bias=...` meaning `gate.bias`."""
    for name, value in values.items():
        model.get_parameter("joint.blocks.0." + name.replace("__", ".")).data.fill_(value)


def gate(bias: float) -> nn.Module:
    model = built(spec("type: gated, depth: 1", outputs=["joint"]))
    set_to(model, gate__weight=0.0, gate__bias=bias)
    return model


def test_a_closed_gate_mutes_the_other_stream() -> None:
    outputs, leaves = run(gate(-1000.0), example(), "image", "text")
    assert not influence(outputs["joint"], leaves["text"]).any()
    assert influence(outputs["joint"], leaves["image"]).all()


def test_an_open_gate_passes_the_other_stream_only() -> None:
    inputs = example()
    outputs, leaves = run(gate(1000.0), inputs, "image", "text")
    assert influence(outputs["joint"], leaves["text"]).equal((inputs["text"] != 0)[:, None].expand(-1, IMAGE, -1))
    assert influence(outputs["joint"], leaves["image"]).equal(itself(4, IMAGE)), "but for the residual"


def test_a_gate_is_open_or_closed_for_each_channel_by_itself() -> None:
    """Without what follows the gate: with norm and feed-forward taken away, channels stay apart."""
    model = gate(-1000.0)
    model.get_parameter("joint.blocks.0.gate.bias").data[:5] = 1000.0
    seen: list[torch.Tensor] = []
    model.joint.blocks[0].norm1.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    _, leaves = run(model, example(), "image", "text")
    for channel in range(16):
        (of_text,) = torch.autograd.grad(seen[0][:, :, channel].sum(), leaves["text"], retain_graph=True)
        assert bool(of_text.any()) == (channel < 5)


def test_weights_over_modalities_sum_to_one() -> None:
    """Where all streams show the same c, a weighted mean of them is c, whatever the weights."""
    streams = ("image", "text", "note")
    model, inputs = built(spec("type: attention, depth: 1", streams, outputs=["image", "joint"])), example(streams)
    for name in ("self", "text", "note"):
        set_to(model, **{f"{name}_attention__output__weight": 0.0, f"{name}_attention__output__bias": 0.7})
    model.get_parameter("joint.blocks.0.judge_self.weight").data.mul_(3)  # what they are judged to be worth differs
    found = model(**inputs)
    w = Weights.of(model).at("joint.blocks.0")
    x = layer_norm(w.at("norm"), found["image"].double() + 0.7)
    assert_agree(found["joint"], layer_norm(w.at("feed_forward_norm"), x + feed_forward(w.at("feed_forward"), x)))


@pytest.mark.parametrize("muted", ["self", "text", "note"])
def test_a_modality_whose_score_goes_to_minus_infinity_is_muted(muted: str) -> None:
    streams = ("image", "text", "note")
    model, inputs = built(spec("type: attention, depth: 1", streams, outputs=["joint"])), example(streams)
    set_to(model, ask__weight=0.0, ask__bias=1.0)  # tanh(1) > 0 for every channel
    for name in ("self", "text", "note"):
        scores = {f"judge_{name}__weight": 0.0, f"score_{name}__weight": -1000.0 if name == muted else 0.1}
        set_to(model, **scores)
    outputs, leaves = run(model, inputs, *streams)
    heard = {name: influence(outputs["joint"], leaves[name]) for name in streams}
    if muted == "self":
        assert heard.pop("image").equal(itself(4, IMAGE)), "but for the residual"
    else:
        assert not heard.pop(muted).any()
    assert all(seen.any() for seen in heard.values())
