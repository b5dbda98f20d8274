"""Every fusion against its formula, weights re-randomised, with ragged masks, experts, and two or three streams."""

import pytest
import torch
from exits import FORMULAS
from reference import Mix, Stream, Weights, feed_forward, row, top_k
from tiny_models import ENCODERS, INPUTS, assert_agree, built, example, masks, spec

STREAMS = [("image", "text"), ("text", "image"), ("text", "note", "image"), ("image", "text", "note")]


def compare(
    fusion: str, streams: tuple[str, ...], options: str = "", mix: Mix = feed_forward, precisely: float = 1e-9
) -> None:
    """In single precision within 2e-5 of the spread, in double within `precisely`."""
    ports = [f"joint.{name}" for name in streams] if "streams: multi" in fusion else []
    model = built(spec(f"{fusion}, expansion: 1.5{options}", streams, outputs=[*streams, "joint", *ports]))
    for dtype, tolerance in ((torch.float32, 2e-5), (torch.float64, precisely)):
        model, inputs = model.to(dtype), example(streams, dtype=dtype)
        found = model(**inputs)
        w, there = Weights.of(model).at("joint"), masks(inputs)
        entering: dict[str, Stream] = {name: (found[name].double(), there[name]) for name in streams}
        *_, expected = FORMULAS[fusion](w, entering, mix)
        if ports:
            for name in streams:
                assert_agree(found[f"joint.{name}"], expected[name][0], tolerance)
            expected = row(*expected.values())
        assert_agree(found["joint"], expected[0], tolerance)
        unknown = [name for name in w.unread() if ".experts." not in name]  # an expert that no token chose is not read
        assert unknown == [], "the model has parameters that its formula does not know"


@pytest.mark.parametrize("streams", STREAMS, ids="-".join)
@pytest.mark.parametrize("fusion", FORMULAS)
def test_a_fusion_computes_the_formula_that_it_cites(fusion: str, streams: tuple[str, ...]) -> None:
    compare(fusion, streams)


@pytest.mark.parametrize("fusion", FORMULAS)
def test_a_fusion_of_its_own_width_projects_every_stream_to_it(fusion: str) -> None:
    compare(fusion, ("image", "text", "note"), ", width: 8, depth: 1")


@pytest.mark.parametrize("fusion", FORMULAS)
def test_experts_stand_where_the_feed_forward_stood(fusion: str) -> None:
    probabilities_are_single = 1e-5  # the router's softmax is float32 in every precision
    compare(fusion, ("image", "text"), ", router: {type: top_k, experts: 3, k: 2}", top_k(2), probabilities_are_single)


@pytest.mark.parametrize("name", ["x", "own"])
@pytest.mark.parametrize("fusion", FORMULAS)
def test_a_stream_may_be_called_as_one_of_the_fusions_own_values(fusion: str, name: str) -> None:
    inputs = example()
    plain = built(spec(fusion))
    odd = built(spec(fusion, ("image", name), inputs={name: INPUTS["text"]}, encoders={name: ENCODERS["text"]}))
    for parameter, value in zip(odd.parameters(), plain.parameters(), strict=True):
        parameter.data.copy_(value)
    found = odd(**{"image": inputs["image"], name: inputs["text"]})
    assert found["label"].equal(plain(**inputs)["label"])
