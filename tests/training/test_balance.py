"""Experts of a trained model are used alike with the balance loss, and not without it. (`benchmarks/routing.py balance` has the
same at full size.)"""

import pytest
import torch
from small_spec import small_spec

from mmspec.components import CATALOGUE
from mmspec.data import open_data
from mmspec.deploy.watching import watching
from mmspec.spec import read
from mmspec.training import Recipe, train


def shares(balance):
    """Of each expert, its part of the validation tokens over the even part."""
    router = f"{{type: top_k, experts: 4, k: 1, normalise: false, balance: {balance}}}"
    spec = read(small_spec(fusion=f"{{type: gated, depth: 1, heads: 2, router: {router}}}"), CATALOGUE)
    model = train(spec, Recipe(steps=150, batch=32, learning_rate=3e-3)).module.eval()
    counts = 0
    for batch in open_data("digits_questions", spec).evaluation_batches("validation", 256):
        with torch.no_grad(), watching(model, len(batch.groups)) as seen:
            model(**batch.inputs)
        counts = counts + torch.stack(list(seen.chosen.values())).double()
    return counts / counts.mean(dim=1, keepdim=True)


@pytest.mark.slow
def test_no_expert_is_used_less_than_half_or_more_than_twice_its_fair_share():
    balanced, left_alone = shares(0.1), shares(0.0)
    assert balanced.min() >= 0.5 and balanced.max() <= 2, balanced
    assert left_alone.min() < 0.5, f"left to themselves they are not: {left_alone}"
