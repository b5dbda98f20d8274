"""Attention patterns over texts are exported for every length up to the longest, and the files agree with torch."""

import numpy as np
import onnxruntime
import pytest
import small_exports as small
import torch

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import read

PATTERNS = {
    "window": "{type: window, size: 3}",
    "dilated": "{type: dilated, dilation: 2, size: 2}",
    "block_sparse": "{type: block_sparse, block: 2, random: 1}",
    "block_top_k": "{type: block_top_k, block: 3, k: 2}",
    "causal_block_top_k": "{type: block_top_k, block: 3, k: 1, causal: true}",
    "linear": "{type: linear, causal: true}",
}
LONGEST = {"linear": 150}  # three chunks


@pytest.mark.slow
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_text_under_a_pattern_is_exported_for_every_length(pattern):
    longest = LONGEST.get(pattern, 18)
    spec = read(
        f"""
        name: pattern
        inputs: {{text: {{type: text, vocab_size: 20, length: {longest}}}}}
        encoders:
          text: {{type: text_transformer, width: 8, depth: 1, heads: 2, expansion: 2, attention: {PATTERNS[pattern]}}}
        heads: {{label: {{type: classification, classes: 4}}}}
        """,
        CATALOGUE,
        origin="pattern.yaml",
    )
    draft = small.draft(spec)
    draft.check()
    assert max(draft.prove().max_error.values()) <= 1e-5
    session = onnxruntime.InferenceSession(draft.proto.SerializeToString(), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for length in range(1, longest + 1):
        ids = torch.randint(1, 20, (2, length), generator=generator)
        present = torch.rand(2, length, generator=generator) > 0.2
        with torch.no_grad():
            expected = draft.module.eval()(ids, present)["label"]
        (found,) = session.run(["label"], {"text": ids.numpy(), "text_mask": present.numpy()})
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5, err_msg=f"{length} tokens")


@pytest.mark.slow
def test_bigbird_is_exported():
    draft = small.draft(mmspec.load("bigbird_base", ["encoders.text.depth=1"], "small"))
    draft.check()
    assert max(draft.prove().max_error.values()) <= 1e-4
