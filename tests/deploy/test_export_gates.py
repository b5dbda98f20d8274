"""A file that is not the model does not pass, and the message says where it parts from it."""

from dataclasses import replace

import faults
import pytest

from mmspec.deploy import Mismatch
from mmspec.errors import Failure

pytestmark = pytest.mark.slow


def test_the_true_file_passes_both_gates_within_a_hundredth_of_the_tolerance(flagship):
    checks = flagship.check()
    parity = flagship.prove()
    assert len(checks) == 5
    assert max(parity.max_error.values()) <= 1e-6 * 5
    assert parity.excused == 0
    assert parity.notes == parity.always == []
    assert all(runs > 0 for runs in parity.idle.values()), "an expert was never left without tokens"
    compared = [case.case for case in parity.compared]
    assert {"batch 256, the largest", "batch 7, each sample as by itself", "batch 7, text absent and short"} <= set(
        compared
    )
    assert all(count > 0 for counts in parity.experts.values() for count in counts)
    ways = {tuple(case.exits["label.exit"]) for case in parity.compared}
    assert any(len(way) == 2 and min(way) > 0 for way in ways), (
        "no case in which some samples left early and others did not"
    )
    assert {(7,), (0, 7)} <= ways, "an exit was not forced"


def test_a_mismatch_names_the_case_the_output_the_error_and_the_first_node_that_differs(flagship):
    with pytest.raises(Mismatch) as caught:
        replace(flagship, proto=faults.coarse_norm(flagship.proto)).prove()
    text = str(caught.value)
    assert "own weights, thresholds: as they are, batch 1" in text
    assert "output  label: off by" in text and "1e-05 is allowed" in text
    assert "LayerNormalization of image.blocks.0.norm1.weight, image.blocks.0.norm1.bias" in text


@pytest.mark.parametrize("expert", range(3))
def test_an_expert_that_fails_without_tokens_is_found_whichever_it_is(flagship, expert):
    name = f"joint.blocks.0.feed_forward.experts.{expert}"
    with pytest.raises(Mismatch, match=r"the runtime cannot run it: .*Gather"):
        replace(flagship, proto=faults.needs_tokens(flagship.proto, name)).prove()


def test_the_structural_gate_lists_what_is_missing_by_its_own_name(flagship):
    with pytest.raises(Failure) as caught:
        replace(flagship, proto=faults.dropped_expert(flagship.proto)).check()
    lines = [line for line in str(caught.value).splitlines() if "experts.2" in line]
    assert len(lines) == 4 and all("no output depends on it" in line for line in lines)


def test_the_module_is_left_as_it_was_by_a_comparison_that_fails(flagship):
    before = flagship.module.joint.blocks.thresholds.clone()
    with pytest.raises(Mismatch):
        replace(flagship, proto=faults.exchanged_branches(flagship.proto)).prove()
    assert flagship.module.joint.blocks.thresholds.equal(before)
