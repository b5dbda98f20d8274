"""Pyramids as ONNX files: the small variants of the published ones."""

import pytest
import small_exports as small

import mmspec


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin_t", "pvt_v2_b2", "convnext_t", "mobilevit_s", "vit_b_r50_s16"])
def test_it_is_exported_and_agrees_with_torch(name):
    draft = small.draft(mmspec.load(name, variant="small"))
    draft.check()
    parity = draft.prove()  # within 1e-5, or 1e-4 of a number that is larger than a tenth
    assert parity.compared and parity.excused == 0
