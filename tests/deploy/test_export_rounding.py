"""What a file may be off by: the target's tolerance, an output's own, or what float32 itself costs."""

import numpy as np
import pytest
import torch

from mmspec.deploy import read_target
from mmspec.deploy.contract import check_named
from mmspec.deploy.package import within_rounding
from mmspec.deploy.rounding import TIMES, rounding, with_rounding
from mmspec.spec import SpecError

TARGET = "device: cpu\nruntime: onnxruntime\nprecision: fp32\nverify: {outputs: {%s: {tolerance: 0.5, relative: 0.25}}}"


@pytest.fixture
def louder(flagship):
    """The flagship with a head whose logits are 1,024 times as large."""
    module = flagship.module
    held = {name: value.clone() for name, value in module.named_parameters() if name.startswith("mood.output")}
    with torch.no_grad():
        for name, value in module.named_parameters():
            if name in held:
                value.mul_(1024)
        yield flagship
        for name, value in module.named_parameters():
            if name in held:
                value.copy_(held[name])


def test_rounding_grows_with_what_is_computed(flagship, louder):
    loud = rounding(louder.module, louder.contract)
    assert loud["mood"] > 100 * loud["label"] > 0


def test_a_network_of_usual_size_keeps_the_targets_tolerance(flagship):
    verify = flagship.target.verify
    assert with_rounding(verify, flagship.module, flagship.contract).of("label", "float32") == verify.of(
        "label", "float32"
    )


def test_an_output_whose_rounding_is_larger_is_allowed_it_and_the_report_says_so(louder):
    draft, words = within_rounding(louder)
    limit = draft.target.verify.of("mood", "float32").absolute
    assert limit == pytest.approx(TIMES * rounding(louder.module, louder.contract)["mood"], rel=0.05)
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
    changed = read_target(TARGET % "label.exit", "t.yaml").model_copy(update={"opset": 21})
    with pytest.raises(SpecError, match=r"no output 'label\.exit' of numbers.*\n --> t\.yaml:4:20"):
        check_named(changed, flagship.contract)
