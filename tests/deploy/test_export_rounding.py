"""What a file may be off by: the target's tolerance, an output's own, or what float32 itself costs."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from mmspec.deploy import read_target
from mmspec.deploy.cases import plain_case
from mmspec.deploy.contract import check_named
from mmspec.deploy.package import within_rounding
from mmspec.deploy.rounding import TIMES, rounding, with_rounding
from mmspec.deploy.watching import close_calls, watching
from mmspec.spec import SpecError

TARGET = "device: cpu\nruntime: onnxruntime\nprecision: fp32\nverify: {outputs: {%s: {tolerance: 0.5, relative: 0.25}}}"


@contextmanager
def changed(draft, layer, change):
    """The draft with all parameters changed whose names have that in them."""
    held = [(value, value.clone()) for name, value in draft.module.named_parameters() if layer in name]
    assert held
    with torch.no_grad():
        for value, before in held:
            value.copy_(change(before))
        try:
            yield draft
        finally:
            for value, before in held:
                value.copy_(before)


def louder(draft):
    """With a head whose logits are 1,024 times as large."""
    return changed(draft, "mood.output", lambda weights: 1024 * weights)


def off_centre(draft):
    """With 1,024 in all channels before a norm, which takes it away again: only what was rounded is different."""
    return changed(draft, "attention.output.bias", lambda bias: bias + 1024)


def test_rounding_grows_with_what_is_computed(flagship):
    with louder(flagship):
        loud = rounding(flagship.module, flagship.contract).outputs
    assert loud["mood"] > 100 * loud["label"] > 0


def test_leads_move_as_far_as_is_rounded_before_the_router(flagship):
    usual = rounding(flagship.module, flagship.contract).lead
    with off_centre(flagship):
        loud = rounding(flagship.module, flagship.contract).lead
    assert 0 < 100 * usual < loud


def test_a_network_of_usual_size_keeps_what_the_target_says(flagship):
    assert with_rounding(flagship.target.verify, flagship.module, flagship.contract) == flagship.target.verify


def test_what_is_a_tie_grows_with_the_rounding_and_the_report_says_so(flagship):
    with off_centre(flagship):
        draft, words = within_rounding(flagship)
        needed = TIMES * rounding(flagship.module, flagship.contract).lead
    assert needed > flagship.target.verify.lead
    assert draft.target.verify.lead == pytest.approx(needed, rel=0.05)
    assert f"two experts are all but tied within {needed:.2g}, 8 times what float32 moves a lead by" in words


def test_a_token_within_the_lead_of_a_target_is_a_close_call(flagship):
    case = plain_case(flagship.contract, 4, 0)
    with torch.no_grad(), watching(flagship.module, case.batch) as seen:
        flagship.module(*case.inputs)
    least = torch.stack(list(seen.leads.values())).amin(dim=0)
    between = flagship.target.verify.model_copy(update={"lead": float(least.median()), "margin": 1e-9})
    assert close_calls(seen, between).tolist() == (least < least.median()).tolist()


def test_an_output_whose_rounding_is_larger_is_allowed_it_and_the_report_says_so(flagship):
    with louder(flagship):
        draft, words = within_rounding(flagship)
        needed = TIMES * rounding(flagship.module, flagship.contract).outputs["mood"]
    limit = draft.target.verify.of("mood", "float32").absolute
    assert limit == pytest.approx(needed, rel=0.05)
    assert words == [f"mood may be off by {limit:.2g}, 8 times what torch's own float32 is off by from float64"]
    assert draft.contract.to_dict(draft.target.verify)["outputs"]["mood"]["tolerance"]["absolute"] == limit


def test_an_output_may_have_a_tolerance_of_its_own(flagship):
    verify = read_target(TARGET % "label").verify
    told = flagship.contract.to_dict(verify)["outputs"]
    assert told["label"]["tolerance"] == {"absolute": 0.5, "relative": 0.25}
    assert told["mood"]["tolerance"]["absolute"] == np.float64(1e-5)
    assert told["label.exit"]["tolerance"]["absolute"] == 0, "exits are equal whatever the tolerance"


def test_a_tolerance_of_an_output_that_is_not_there_names_the_nearest_at_its_place(flagship):
    with pytest.raises(SpecError) as caught:
        check_named(read_target(TARGET % "labl", "t.yaml"), flagship.contract)
    assert "no output 'labl' of numbers, did you mean 'label'?\n --> t.yaml:4:20\n" in str(caught.value)
    other = read_target(TARGET % "label.exit", "t.yaml").model_copy(update={"opset": 21})
    with pytest.raises(SpecError, match=r"no output 'label\.exit' of numbers.*\n --> t\.yaml:4:20"):
        check_named(other, flagship.contract)
