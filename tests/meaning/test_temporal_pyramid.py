"""Pools that know where tokens stand: spans of a sequence at several scales, and several tokens in front."""

import pytest
import torch

import mmspec
from mmspec.backend import build
from mmspec.backend.runtime import span_means
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read


def tokens(batch, length):
    return torch.randn(batch, length, 3, generator=torch.Generator().manual_seed(0))


def test_each_span_is_the_mean_of_its_part():
    x = tokens(2, 8)
    found = span_means(x, (1, 2, 4))
    parts = [x.mean(1), x[:, :4].mean(1), x[:, 4:].mean(1), *(x[:, i : i + 2].mean(1) for i in range(0, 8, 2))]
    assert (found - torch.stack(parts, dim=1)).abs().max() < 1e-6


def test_absent_tokens_belong_to_no_span():
    """A text of five tokens, wherever they stand in the row, is that text alone."""
    x, mask = tokens(1, 9), torch.tensor([[False, True, True, False, True, True, False, True, False]])
    assert (span_means(x, (1, 2, 3), mask) - span_means(x[mask][None], (1, 2, 3))).abs().max() < 1e-6


def test_a_span_without_tokens_is_zeros():
    """Two tokens among four quarters; none at all."""
    x = tokens(1, 2)
    assert span_means(x, (4,))[0].abs().sum(-1).gt(0).tolist() == [True, False, True, False]
    assert not span_means(x, (1, 2), torch.zeros(1, 2, dtype=torch.bool)).any()


def head(pool, classes=2):
    return read(
        f"""
        name: pooling
        inputs: {{text: {{type: text, length: 6}}, image: {{type: image, size: 8}}}}
        encoders:
          text: {{type: text_transformer, width: 4, depth: 1, heads: 1, position: none}}
          image: {{type: vit, patch_size: 4, width: 4, depth: 1, heads: 1, position: none}}
        heads: {{label: {{type: classification, classes: {classes}, from: image, pool: {pool}}},
                said: {{type: classification, classes: 2, from: text, pool: temporal_pyramid}}}}
        outputs: [image]
        """,
        CATALOGUE,
    )


def test_only_a_pool_with_scales_can_tell_what_came_first():
    """Without positions, turning a text around turns its tokens around: a mean stays, halves change places."""
    model = build(head("mean")).eval()
    text, image = torch.tensor([[5, 9, 200, 31]]), torch.randn(1, 3, 8, 8)
    there, back = (model(text=ids, image=image)["said"] for ids in (text, text.flip(1)))
    assert (there - back).abs().max() > 1e-3


def test_the_first_tokens_may_be_several():
    model, image = build(head("{type: first, count: 3}")).eval(), torch.randn(2, 3, 8, 8)
    outputs = model(text=torch.ones(2, 1, dtype=torch.int64), image=image)
    assert (outputs["label"] - model.label.output(outputs["image"][:, :3].mean(1))).abs().max() < 1e-6


def test_more_tokens_than_there_are_is_an_error():
    with pytest.raises(SpecError, match="there are 4 tokens, not 5"):
        mmspec.lower(head("{type: first, count: 5}"))
