"""A text has at most as many tokens as its input says; one with more is told so, and not by sizes of tensors that do not match."""

import pytest
import torch

import mmspec
from mmspec.components import CATALOGUE
from mmspec.errors import UserError
from mmspec.spec import read


@pytest.mark.parametrize("form", ["training", "serving"])
@pytest.mark.parametrize("position", ["learned", "sinusoidal", "rotary", "relative_buckets", "none"])
def test_a_text_that_is_too_long_is_told_its_input_and_the_longest(position, form):
    spec = read(
        f"""
        name: words
        inputs: {{text: {{type: text, vocab_size: 20, length: 6}}}}
        encoders: {{text: {{type: text_transformer, width: 8, depth: 1, heads: 2, position: {position}}}}}
        heads: {{label: {{type: classification, classes: 3}}}}
        """,
        CATALOGUE,
    )
    model = mmspec.build(spec, form=form).eval()
    assert model(text=torch.ones(2, 6, dtype=torch.long))["label"].shape == (2, 3)
    longer = torch.ones(2, 7, dtype=torch.long)
    for given, named in (((), {"text": longer}), ((longer,), {})):
        with pytest.raises(UserError, match=r"text has 7 tokens, and the longest is 6: inputs\.text\.length"):
            model(*given, **named)
