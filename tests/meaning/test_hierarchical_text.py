"""Words, phrases and the sentence, against their formulas by hand."""

import torch
from tiny_models import built

from mmspec.components import CATALOGUE
from mmspec.spec import read
from mmspec.testing import check_spec

SPEC = """
name: levels
inputs: {text: {type: text, vocab_size: 11, length: 7}}
encoders: {text: {type: hierarchical_text, width: 8, depth: 1, heads: 2, phrases: [1, 2, 3]}}
outputs: [text, text.word, text.phrase, text.sentence]
"""
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2], [6, 5, 3, 5, 0, 0, 0]])


def levels(ids):
    return built(read(SPEC, CATALOGUE))(text=ids)


def test_a_phrase_is_the_strongest_of_those_that_end_at_a_word():
    model = built(read(SPEC, CATALOGUE))
    found = model(text=IDS)
    words = found["text.word"][0]
    for place in range(7):
        strongest = []
        for length in (1, 2, 3):
            layer = getattr(model.text, f"phrase{length}")
            window = torch.zeros(length, 8)
            for i in range(length):
                if (at := place - length + 1 + i) >= 0:
                    window[i] = words[at]
            strongest.append(torch.tanh(torch.einsum("nd,odn->o", window, layer.weight) + layer.bias))
        expected = torch.stack(strongest).amax(dim=0)
        torch.testing.assert_close(found["text.phrase"][0, place], expected)


def test_each_level_is_attended_to_by_itself():
    model = built(read(SPEC, CATALOGUE))
    found = model(text=IDS)
    for number, level in enumerate(("word", "phrase", "sentence")):
        attention = model.get_submodule(f"text.{level}_level")
        for sample, length in enumerate((7, 4)):
            x = found[f"text.{level}"][sample, :length]
            weight = (torch.tanh(x @ attention.key.weight.T + attention.key.bias) @ attention.score.weight[0]).softmax(
                dim=0
            )
            torch.testing.assert_close(found["text"][sample, number], weight @ x)


def test_a_word_changes_the_phrases_that_hold_it_and_the_whole_sentence():
    before, after = levels(IDS[:1]), levels(torch.tensor([[3, 1, 4, 8, 5, 9, 2]]))
    changed = {name: (before[name] != after[name]).any(dim=-1)[0].nonzero().flatten().tolist() for name in before}
    assert changed["text.word"] == [3]
    assert set(changed["text.phrase"]) <= {3, 4, 5} and 3 in changed["text.phrase"]
    assert changed["text.sentence"] == list(range(7))
    assert changed["text"] == [0, 1, 2]


def test_padding_changes_nothing():
    short, long = levels(IDS[1:, :4]), levels(IDS[1:])
    torch.testing.assert_close(short["text"], long["text"])
    torch.testing.assert_close(short["text.phrase"], long["text.phrase"][:, :4])


def test_a_fusion_attends_to_the_level_that_it_names():
    spec = read(
        """
        name: co_attention
        inputs: {image: {type: image, size: 8}, text: {type: text, vocab_size: 11, length: 7}}
        encoders:
          image: {type: vit, patch_size: 4, width: 8, depth: 1, heads: 2}
          text: {type: hierarchical_text, width: 8, depth: 1, heads: 2}
        fusion:
          words: {type: cross_attention, from: [image, text.word], depth: 1, heads: 2}
          phrases: {type: cross_attention, from: [words, text.phrase], depth: 1, heads: 2}
          joint: {type: cross_attention, from: [phrases, text.sentence], depth: 1, heads: 2}
        heads: {label: {type: classification, classes: 3}}
        """,
        CATALOGUE,
    )
    check_spec(spec)
