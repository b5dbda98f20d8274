"""Every position with every attention pattern, with and without tokens in front of the grid: graph, price, module and source agree, or
the spec is refused at the field that cannot be; nothing fails only when it runs."""

from itertools import product

import pytest

from mmspec.components import BUILT_IN, CATALOGUE
from mmspec.spec import SpecError, read
from mmspec.testing import check_spec

AXES = ["axes: [0], pattern: causal", "axes: [1], pattern: {type: window, size: 1}"]
WRITTEN = {  # what a pattern is written with
    "block_sparse": "block: 2, random: 1",
    "dilated": "dilation: 2",
    "global": "size: 2",
    "prefix": "tokens: 2",
    "random": "others: 2",
    "shifted_window": "window: 2",
    "block_top_k": "block: 2, k: 1",
    "spatial_reduction": "ratio: 2",
    "top_k": "k: 2",
    "window": "size: 2",
}
ROWS = [f"{{type: axial, {axes}}}" for axes in AXES]
PATTERNS = [f"{{type: {kind}, {WRITTEN[kind]}}}" if kind in WRITTEN else kind for kind in BUILT_IN["attention"]]
PATTERNS = [*ROWS, "{type: axial, axes: [0, 1]}", *(p for p in PATTERNS if p not in ("axial", "modalities"))]
OF_GRIDS = {pattern for pattern in PATTERNS if any(kind in pattern for kind in ("axial", "shifted", "spatial"))}
REDUCED = {"{type: spatial_reduction, ratio: 2}"}
REFUSED = {  # over a grid; over a row all that is of grids
    "relative_bias": {*ROWS, *REDUCED, "linear"},
    "relative_buckets": set(PATTERNS) - set(ROWS),
    "rotary": REDUCED,
}
ENCODERS = {
    "image": (
        "{type: image, size: 16, channels: 1}",
        "type: vit, patch_size: 4",
        ("", "class_token: true, registers: 1, "),
    ),
    "text": ("{type: text, vocab_size: 20, length: 8}", "type: text_transformer", ("",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("position", BUILT_IN["position"])
@pytest.mark.parametrize("name", ENCODERS)
def test_a_position_goes_with_a_pattern_or_the_two_are_refused(name, position):
    given, encoder, fronts = ENCODERS[name]
    refused: set[str] = set()
    located: list[bool] = []
    for front, pattern in product(fronts, PATTERNS):
        fields = (
            f"{encoder}, {front}width: 16, depth: 1, heads: 2, kv_heads: 1, attention: {pattern}, position: {position}"
        )
        spec = read(
            f"""
            name: pair
            inputs: {{{name}: {given}}}
            encoders: {{{name}: {{{fields}}}}}
            heads: {{label: {{type: classification, classes: 3, from: {name}}}}}
            """,
            CATALOGUE,
            origin="pair.yaml",
        )
        try:
            check_spec(spec, gradients=False)
        except SpecError as error:
            located.append("pair.yaml:4:" in str(error))
            refused |= set() if front else {pattern}
    assert all(located)
    if name == "image":
        assert refused == REFUSED.get(position, set())
    elif position in ("learned_2d", "sinusoidal_2d", "relative_bias"):
        assert refused == set(PATTERNS)
    else:
        assert refused == OF_GRIDS | ({"linear"} if position == "relative_buckets" else set())
