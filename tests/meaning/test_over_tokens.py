"""An encoder and a decoder over tokens are the same blocks: with a class token, with a context in view, at another width."""

import pytest
import torch

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read
from mmspec.testing import check_spec, randomise


def both(fields, sources="[words, image]", third=""):
    """The encoder `one` and the decoder `two` of the same fields, over words of 8 channels beside an image."""
    return read(
        f"""
        name: both
        inputs: {{text: {{type: text, vocab_size: 20, length: 6}}, image: {{type: image, size: 8}}}}
        encoders:
          words: {{type: embedding, from: text, width: 8}}
          {third}
          image: {{type: vit, patch_size: 4, width: 12, depth: 1, heads: 2}}
          one: {{type: token_transformer, from: {sources}, width: 16, depth: 2, heads: 2, {fields}}}
        decoders:
          two: {{type: transformer, from: {sources}, width: 16, depth: 2, heads: 2, {fields}}}
        heads:
          first: {{type: classification, classes: 3, from: one}}
          second: {{type: classification, classes: 3, from: two}}
        objectives:
          - {{type: cross_entropy, head: first, target: answer}}
          - {{type: cross_entropy, head: second, target: answer}}
        outputs: [one, two]
        """,
        CATALOGUE,
        origin="both.yaml",
    )


@pytest.mark.parametrize("fields", ["attention: full, class_token: true", "attention: causal, position: rotary"])
def test_an_encoder_and_a_decoder_over_tokens_compute_the_same(fields):
    spec = both(fields)
    check_spec(spec)
    model = mmspec.build(spec).eval()
    randomise(model)
    one = {name.removeprefix("one."): x for name, x in model.state_dict().items() if name.startswith("one.")}
    model.two.load_state_dict(one)
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(1, 20, (2, 5), generator=generator)
    outputs = model(text=text, image=torch.randn(2, 3, 8, 8, generator=generator))
    assert outputs["one"].equal(outputs["two"])
    other = model(text=text, image=torch.randn(2, 3, 8, 8, generator=generator))
    assert not outputs["one"].allclose(other["one"])  # the picture is in view


@pytest.mark.parametrize(
    ("fields", "sources", "said"),
    [
        ("attention: causal, class_token: true", "[words, image]", "a class token in front sees no other"),
        ("attention: full", "[words, image, inputs.image]", "image is a map"),
        ("attention: full", "[words, image, third]", "looks at one context at most"),
    ],
)
def test_what_neither_can_do_is_told_of_both(fields, sources, said):
    with pytest.raises(SpecError, match=rf"{said}(?s:.*){said}"):
        mmspec.lower(
            both(fields, sources, "third: {type: embedding, from: text, width: 8}" if "third" in sources else "")
        )
