"""A loop in bfloat16: OpenVINO lost what it gives, from the first text on that was longer than those before."""

import numpy as np
import pytest
from small_exports import FUSIONS, draft, spec

from mmspec import openvino_deciding
from mmspec.deploy.cases import Case, draw
from mmspec.deploy.precision.errors import runs_everywhere
from mmspec.errors import Failure
from mmspec.openvino_runtime import openvino

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def looped():
    fusion = {"joint": FUSIONS["gated"] + ", halting: {type: act}"}
    return draft(spec(fusion, {"label": "from: joint", "mood": "from: joint, pool: max"}))


def asked(looped, batch, length):
    sizes = {"batch": batch, "text_length": length}
    return Case(f"batch {batch}, {length} tokens", draw(looped.contract, sizes, length))


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("lengths", [(1, 3, 6, 2), (3, 2, 6, 3), (6, 1, 6)])
def test_answers_do_not_depend_on_what_was_asked_before(looped, batch, lengths):
    run = looped.files.run(openvino("bf16"))
    for length in lengths:
        case = asked(looped, batch, length)
        found, alone = run(case.inputs), looped.files.run(openvino("bf16"))(case.inputs)
        for name, value in found.items():
            np.testing.assert_array_equal(value, alone[name])


def test_the_gate_finds_answers_that_do(looped, monkeypatch):
    order = [asked(looped, 2, length) for length in (3, 2, 6)]
    runs_everywhere(looped.module, looped.files, openvino("bf16"), order)
    monkeypatch.setattr(openvino_deciding, "behind_loops", lambda model: [])
    with pytest.raises(Failure, match=r"another answer after others: label of batch 2, 3 tokens|that is not finite"):
        runs_everywhere(looped.module, looped.files, openvino("bf16"), order)
