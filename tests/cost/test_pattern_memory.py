"""What a pattern holds while it runs is what the memory figure says."""

import pytest
from test_memory import held_and_predicted

from mmspec.components import CATALOGUE
from mmspec.spec import read

PATTERNS = [
    "full",
    "{type: window, size: 32}",
    "{type: window, size: 32, causal: true}",
    "{type: dilated, dilation: 4}",
    "{type: dilated, dilation: 4, size: 16}",
    "{type: global, tokens: 4, size: 32}",
    "{type: block_sparse, block: 16, random: 2}",
    "linear",
    "{type: linear, causal: true}",
    "{type: random, others: 8}",
    "{type: top_k, k: 8}",
    "entmax",
]


@pytest.mark.parametrize("width", [32, 128])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_activations_under_a_pattern_are_predicted(pattern, width):
    written = f"""
    name: pattern
    inputs: {{text: {{type: text, vocab_size: 20, length: 512}}}}
    encoders: {{text: {{type: text_transformer, width: {width}, depth: 1, heads: 4, expansion: 1, attention: {pattern}}}}}
    heads: {{label: {{type: classification, classes: 4}}}}
    """
    held, predicted = held_and_predicted(read(written, CATALOGUE), 2)
    assert predicted == pytest.approx(held, rel=0.15)
