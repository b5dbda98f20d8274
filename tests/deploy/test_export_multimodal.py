"""Systems of several modalities as ONNX files: a batch compared with itself, tokens at places, a query that pools."""

import pytest
import small_exports as small

import mmspec
from mmspec.deploy.cases import draw, planted
from mmspec.deploy.contract import contract_of
from mmspec.deploy.target import Verify, load_target
from mmspec.ir.placeholders import Placeholder
from mmspec.passes import lower_serving


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clip_vit_b32", "siglip_base", "llava_1_5_7b", "digits_clip"])
def test_it_is_exported_and_agrees_with_torch(name):
    variant = None if name == "digits_clip" else "small"
    draft = small.draft(mmspec.load(name, variant=variant))
    draft.check()
    parity = draft.prove()
    assert max(parity.max_error.values()) <= 1e-4
    assert parity.excused == 0


def test_the_contract_says_how_many_places_a_text_must_keep():
    spec = mmspec.load("llava_1_5_7b", variant="small")
    contract = contract_of(spec, lower_serving(spec), load_target("edge_cpu_fp32"))
    (text,) = (port for port in contract.inputs if port.name == "text")
    assert text.places == (Placeholder("text", 58, 4),)
    assert contract.to_dict(Verify())["inputs"]["text"]["places"] == [{"id": 58, "count": 4}]
    assert contract.dims["text_length"].low == 4


def test_what_a_file_is_tried_with_keeps_its_places():
    spec = mmspec.load("llava_1_5_7b", variant="small")
    contract = contract_of(spec, lower_serving(spec), load_target("edge_cpu_fp32"))
    at = [port.name for port in contract.inputs].index("text")
    for length in (4, 9):
        ids = draw(contract, {"batch": 5, "text_length": length}, seed=1)[at]
        assert (ids == 58).sum(dim=1).tolist() == [4] * 5


def test_planted_places_are_as_many_as_asked_for_and_anywhere():
    import torch

    generator = torch.Generator().manual_seed(0)
    ids = planted(torch.zeros(64, 6, dtype=torch.int64), Placeholder("text", 0, 2), generator)
    assert (ids == 0).sum(dim=1).tolist() == [2] * 64
    assert (ids == 0).any(dim=0).all()
