"""A graph prints as the program it is."""

from textwrap import dedent

import mmspec
from mmspec.components import CATALOGUE
from mmspec.ir.printing import find, text
from mmspec.spec import read

SPEC = """
name: tiny
inputs:
  image: {type: image, size: 8, channels: 1}
  text: {type: text, vocab_size: 10, length: 5}
encoders:
  image: {type: vit, patch_size: 4, width: 8, depth: 2, heads: 2}
  text: {type: text_transformer, width: 4, depth: 1, heads: 2}
fusion:
  joint: {type: gated, depth: 2, heads: 2, router: {type: top_k, experts: 3, k: 1}, halting: {type: confidence, head: label}}
heads:
  label: {type: classification, classes: 3}
objectives:
  - {type: cross_entropy, target: answer}
"""


def lowered():
    return mmspec.lower(read(SPEC, CATALOGUE))


def test_a_model_prints_one_line_for_each_node():
    assert str(lowered()) == dedent("""\
        graph tiny(image: f32[B, 1, 8, 8], text: i64[B, N], text_mask: bool[B, N])
          text_present: bool[B, N] = token_mask(inputs.text, text_mask) {pad: 0}
          image: f32[B, 4, 8] = vit(inputs.image) {patch_size: 4, width: 8, depth: 2, heads: 2}
          text: f32[B, N, 4] = text_transformer(inputs.text, text_present) {width: 4, depth: 1, heads: 2}
          @label = classification {classes: 3}
          joint: f32[B, 4, 8], balance: f32[], label: f32[B, 3], label.exits: f32[2, B, 3] = \
gated(image, text, text_present, @label) {depth: 2, router: top_k(k=1, experts=3), halting: confidence(head=label), heads: 2}
          return {label, label.exits (training), joint.balance: balance (training)}""")


def test_a_scope_prints_its_operations_and_a_module_path_finds_it():
    block = find(lowered(), "joint.blocks.1")
    assert block is not None
    assert str(block) == dedent("""\
        graph GatedBlock(x: f32[B, 4, 8], context: f32[B, N, 8], context_mask: bool[B, N])
          own: f32[B, 4, 8] = self_attention: SelfAttention(x) {width: 8, context_width: 8, heads: 2}
          other: f32[B, 4, 8] = cross_attention: MaskedCrossAttention(x, context, context_mask) \
{width: 8, context_width: 8, heads: 2}
          concat: f32[B, 4, 16] = concat(own, other) {axis: -1}
          gate: f32[B, 4, 8] = linear(concat) {width: 8, bias: True, init: xavier_uniform(1)}
          gate_2: f32[B, 4, 8] = sigmoid(gate)
          multiply: f32[B, 4, 8] = multiply(gate_2, other)
          subtract_from: f32[B, 4, 8] = subtract_from(gate_2) {scalar: 1}
          multiply_2: f32[B, 4, 8] = multiply(subtract_from, own)
          add: f32[B, 4, 8] = add(multiply, multiply_2)
          norm1: f32[B, 4, 8] = layer_norm(add) {eps: 1e-05}
          add_2: f32[B, 4, 8] = add(x, norm1)
          norm2: f32[B, 4, 8] = layer_norm(add_2) {eps: 1e-05}
          feed_forward: f32[B, 4, 8], balance: f32[] = MixtureOfExperts(norm2) {width: 8, experts: 3, k: 1, hidden: 32}
          add_3: f32[B, 4, 8] = add(add_2, feed_forward)
          return {x: add_3, balance}""")
    assert find(lowered(), "joint.blocks.0.cross_attention") is not None
    assert find(lowered(), "joint.nothing") is None


def test_what_a_scope_holds_follows_it_indented():
    nested = text(lowered(), nested=True)
    assert "        graph Block(x: f32[B, 4, 8])" in nested
    assert "answers: f32[B, 4, 1, 8] = experts: experts Expert(choice, x) {count: 3, met: 1}" in nested


def test_a_text_output_is_computed_without_its_padding_and_the_mask_goes_with_it():
    joint = find(lowered(), "joint")
    assert joint is not None
    assert [value.name for value in joint.inputs] == ["image", "text", "text_mask", "label"]


def test_the_compiler_says_which_projections_it_inserted():
    said = [note for note in lowered().notes if "projection" in note]
    assert said == ["joint.adapt_text: a projection from 4 to 8 channels was inserted"]
