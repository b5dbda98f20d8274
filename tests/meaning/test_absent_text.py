"""A modality that is not there at all: finite numbers, and exactly what is left without it."""

import copy

import pytest
import torch
from reference import Weights, classification, concat, single_stream
from tiny_models import assert_agree, built, example, spec
from torch import Tensor, nn

CROSS = {  # the attentions from the image to the text
    "type: attention": "text_attention",
    "type: gated": "cross_attention",
    "type: cross_attention": "text_attention",
    "type: cross_attention, order: parallel": "text_attention",
    "type: transformer, streams: multi": "image.cross_attention",
}


def without_text(batch: int = 3) -> dict[str, Tensor]:
    inputs = example(batch=batch)
    return inputs | {"text_mask": torch.zeros_like(inputs["text"], dtype=torch.bool)}


def saying_only_its_bias(model: nn.Module, attention: str) -> nn.Module:
    model = copy.deepcopy(model)
    for block in range(2):
        model.get_parameter(f"joint.blocks.{block}.{attention}.output.weight").data.zero_()
    return model


@pytest.mark.parametrize("fusion", CROSS)
def test_of_an_absent_text_remains_the_output_bias_of_the_attention_to_it(fusion: str) -> None:
    port = "joint.image" if "multi" in fusion else "joint"
    model = built(spec(f"{fusion}, depth: 2", outputs=[port]))
    absent = model(**without_text())[port]
    silenced = saying_only_its_bias(model, CROSS[fusion])(**example(batch=3))[port]
    assert_agree(absent, silenced)
    assert (model(**example(batch=3))[port] - absent).abs().max() > 0.01, "a text that is there is heard"


def test_a_row_without_its_text_is_the_image_alone() -> None:
    for fusion, formula in (("type: concat", concat), ("type: transformer", lambda w, s: single_stream(w, s, 4))):
        model = built(spec(fusion, outputs=["image"]))
        found = model(**without_text())
        w = Weights.of(model)
        *_, (x, _) = formula(w.at("joint"), {"image": (found["image"].double(), None)})
        assert_agree(found["label"], classification(w.at("label"), x, None))


@pytest.mark.parametrize("fusion", list(CROSS)[:4])
def test_an_absent_text_that_asks_gets_the_heads_bias(fusion: str) -> None:
    for pool in ("mean", "max", "first", "last", "attention"):
        head = {"label": f"{{type: classification, classes: 5, pool: {pool}}}"}
        model = built(spec(fusion, ("text", "image"), heads=head))
        assert torch.allclose(model(**without_text())["label"], model.label.output.bias.expand(3, -1))


@pytest.mark.parametrize("fusion", [*CROSS, "type: concat", "type: transformer"])
@pytest.mark.parametrize("streams", [("image", "text"), ("text", "image")], ids="-".join)
def test_gradients_stay_finite_where_some_texts_of_a_batch_are_absent(fusion: str, streams: tuple[str, ...]) -> None:
    halting = "halting: {type: confidence, head: label}, router: {type: top_k}"
    model = built(spec(f"{fusion}, {halting}", streams)).train()
    inputs = example(batch=3)
    inputs["text_mask"] = inputs["text"] != 0
    inputs["text_mask"][1] = False
    outputs = model(**inputs)
    (outputs["label.exits"].square().sum() + outputs["joint.balance"]).backward()
    assert all(torch.isfinite(value).all() for value in outputs.values())
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
