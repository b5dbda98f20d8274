"""Patterns go with every position, with shared key heads, with a scale, in encoders and decoders: graph, price, module and source
agree, and gradients reach every parameter."""

import pytest

from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read
from mmspec.testing import check_spec

OBJECTIVES = "objectives: [{type: cross_entropy, head: label, target: answer}]"

TEXTS = [
    "{type: window, size: 2, causal: true}, position: relative_buckets",
    "{type: dilated}, position: rotary, kv_heads: 1",
    "{type: dilated, size: 1}, position: relative_buckets, attention_scale: 0.2",
    "{type: global, size: 1}, position: relative_buckets",
    "{type: block_sparse, block: 1, random: 1}, position: relative_buckets, kv_heads: 1",
    "linear, position: rotary, kv_heads: 1",
    "{type: random, others: 2}, position: relative_buckets, attention_scale: 0.5",
    "{type: top_k, k: 3}, position: relative_buckets",
    "entmax, position: relative_buckets, kv_heads: 1",
]
IMAGES = [
    "{type: window, size: 2}, position: relative_bias",
    "{type: window, size: 2}, position: rotary, head_width: 8, class_token: true",
    "{type: dilated, dilation: 2}, position: relative_bias",
    "{type: dilated, dilation: 2}, class_token: true, registers: 2, kv_heads: 1",
    "{type: global, size: 3}, class_token: true",
    "{type: block_sparse, block: 2, random: 1}, position: relative_bias",
    "linear, position: sinusoidal_2d",
    "{type: axial, axes: [1]}, position: rotary, class_token: true, registers: 1",
    "{type: axial, axes: [0], pattern: causal}, position: relative_buckets",
]
DECODERS = [
    "{type: window, size: 2, causal: true}, position: relative_buckets",
    "{type: dilated, causal: true}, position: rotary",
    "{type: linear, causal: true}",
    "{type: top_k, k: 2, causal: true}",
]


@pytest.mark.parametrize("attention", TEXTS)
def test_a_pattern_over_a_text(attention):
    check_spec(
        read(
            f"""
            name: text
            inputs: {{text: {{type: text, length: 9, vocab_size: 20}}}}
            encoders: {{text: {{type: text_transformer, width: 8, depth: 2, heads: 2, attention: {attention}}}}}
            heads: {{label: {{type: classification, classes: 3}}}}
            {OBJECTIVES}
            """,
            CATALOGUE,
        )
    )


@pytest.mark.parametrize("attention", IMAGES)
def test_a_pattern_over_an_image(attention):
    check_spec(
        read(
            f"""
            name: image
            inputs: {{image: {{type: image, size: 16, channels: 1}}}}
            encoders: {{image: {{type: vit, patch_size: 4, width: 8, depth: 2, heads: 2, attention: {attention}}}}}
            heads: {{label: {{type: classification, classes: 3, from: image}}}}
            {OBJECTIVES}
            """,
            CATALOGUE,
        )
    )


@pytest.mark.parametrize("attention", DECODERS)
def test_a_pattern_in_a_decoder(attention):
    check_spec(
        read(
            f"""
            name: decoder
            inputs: {{text: {{type: text, length: 9, vocab_size: 20}}, target: {{type: text, length: 7, vocab_size: 20}}}}
            encoders: {{text: {{type: text_transformer, width: 8, depth: 1, heads: 2}}}}
            decoders:
              next: {{type: text_decoder, from: [target, text], width: 8, depth: 2, heads: 2, attention: {attention}}}
            heads: {{label: {{type: classification, classes: 3, from: next}}}}
            {OBJECTIVES}
            """,
            CATALOGUE,
        )
    )


@pytest.mark.parametrize(
    ("attention", "at", "message"),
    [
        ("{type: window, size: 3}", "3}", "windows of 3 do not tile a grid of 4 x 4"),
        ("{type: window, causal: true}", "true}", "windows on a grid are not causal"),
        ("{type: dilated, dilation: 3}", "3}", "dilations of 3 do not tile a grid of 4 x 4"),
        ("linear, attention_scale: 0.5", "0.5", "linear attention has no scores that could be scaled"),
        (
            "linear, position: relative_bias",
            "relative_bias",
            "linear attention has no scores that positions could bias",
        ),
        ("modalities", "modalities", "tokens of one modality have no other to see"),
    ],
)
def test_a_pattern_that_does_not_fit_is_an_error_where_it_is_written(attention, at, message):
    written = f"""name: image
inputs: {{image: {{type: image, size: 16}}}}
encoders: {{image: {{type: vit, patch_size: 4, width: 8, heads: 2, attention: {attention}}}}}
heads: {{label: {{type: classification, classes: 3, from: image}}}}
"""
    with pytest.raises(SpecError) as error:
        check_spec(read(written, CATALOGUE))
    (diagnostic,) = error.value.diagnostics
    position = diagnostic.position
    assert diagnostic.message == message
    assert written.splitlines()[position.line - 1][position.column - 1 :].startswith(at)
