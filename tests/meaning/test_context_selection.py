"""A stream looks at the tokens of a context that were selected for it, and at no others."""

import re

import pytest
import torch
from influence import influence, run
from torch import Tensor

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read
from mmspec.testing import randomise

K, LENGTH = 3, 9


def written(selection: str, fusion: str = "cross_attention", sources: str = "[image, text]") -> str:
    return f"""
name: selected
inputs: {{image: {{type: image, size: 8, channels: 1}}, text: {{type: text, vocab_size: 50, length: {LENGTH}}}}}
encoders:
  image: {{type: vit, patch_size: 4, width: 16, depth: 1, heads: 2}}
  text: {{type: text_transformer, width: 16, depth: 1, heads: 2}}
fusion: {{joint: {{type: {fusion}, from: {sources}, heads: 2, depth: 2, selection: {selection}}}}}
heads: {{label: {{type: classification, classes: 3}}}}
outputs: [joint, image, text]
"""


def built(selection: str, fusion: str = "cross_attention", seed: int = 0):
    model = mmspec.build(read(written(selection, fusion), CATALOGUE)).eval()
    randomise(model, seed=seed)
    return model


def inputs(batch: int = 6) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    mask = torch.rand(batch, LENGTH, generator=generator) > 0.3
    mask[0], mask[1], mask[2] = True, False, torch.arange(LENGTH) < 2  # all; none; fewer than are selected
    ids = torch.randint(1, 50, (batch, LENGTH), generator=generator)
    return {"image": torch.randn(batch, 1, 8, 8, generator=generator), "text": ids, "text_mask": mask}


def scored(model, kind: str, asking: Tensor, token: Tensor) -> Tensor:
    """How much a token matters, from the papers' lines."""
    if kind == "top_k":
        return asking @ token / (asking.norm() * token.norm())
    scorer = model.joint.select_text
    return scorer.score.weight[0] @ torch.tanh(
        scorer.judge.weight @ token + scorer.ask.weight @ asking + scorer.ask.bias
    )


@pytest.mark.parametrize("kind", ["top_k", "learned"])
@pytest.mark.parametrize("fusion", ["cross_attention", "gated", "attention"])
def test_a_fusion_with_a_selection_is_the_fusion_of_the_selected_tokens(kind, fusion):
    """Those of largest score, in their order, and weighted by it where it is learned."""
    model, given = built(f"{{type: {kind}, k: {K}}}", fusion), inputs()
    seen: list[tuple[Tensor, ...]] = []
    with torch.no_grad():
        model.joint.blocks[0].register_forward_pre_hook(lambda module, args: seen.append(args))
        found = model(**given)
    (_, chosen, mask) = seen[0]
    for b in range(6):
        asking, tokens = found["image"][b].mean(0), found["text"][b]
        present = given["text_mask"][b].nonzero().flatten().tolist()
        scores = {j: scored(model, kind, asking, tokens[j]) for j in present}
        best = sorted(sorted(present, key=lambda j: -scores[j])[:K])
        assert mask[b].sum() == len(best)
        for place, j in zip(mask[b].nonzero().flatten(), best, strict=True):
            expected = tokens[j] * torch.sigmoid(scores[j]) if kind == "learned" else tokens[j]
            torch.testing.assert_close(chosen[b, place], expected)


@pytest.mark.parametrize("fusion", ["cross_attention", "gated", "attention"])
def test_only_selected_tokens_have_influence(fusion):
    model, given = built(f"{{type: top_k, k: {K}}}", fusion), inputs()
    outputs, leaves = run(model, given, "joint.select_text.best", "text.norm")
    numbers = leaves["joint.select_text.best"]
    moved = influence(outputs["joint"], leaves["text.norm"]).any(dim=1)
    expected = torch.zeros(6, LENGTH + 1, dtype=torch.bool).scatter(1, numbers, True)[:, :LENGTH]
    assert moved.equal(expected) and not (expected & ~given["text_mask"]).any()


@pytest.mark.parametrize("kind", ["top_k", "learned"])
def test_a_sample_alone_and_without_padding_is_answered_as_in_company(kind):
    model, given = built(f"{{type: {kind}, k: {K}}}"), inputs()
    with torch.no_grad():
        together = model(**given)["label"]
        for b in range(6):
            there = given["text_mask"][b]
            length = int(there.nonzero().max()) + 1 if there.any() else 1
            alone = {name: x[b : b + 1, :length] if "text" in name else x[b : b + 1] for name, x in given.items()}
            torch.testing.assert_close(model(**alone)["label"][0], together[b])


def test_keys_values_and_scores_cost_what_the_selected_tokens_cost():
    """Two blocks of: keys and values of each token, and its scores and their sum with four queries."""
    every, few = (
        mmspec.profile(read(written(said), CATALOGUE))["roles.fusion.flops"]
        for said in ("none", f"{{type: top_k, k: {K}}}")
    )
    of_a_token = 2 * (2 * 2 * 16 * 16 + 2 * 2 * 4 * 16)
    assert every - few == (LENGTH - K) * of_a_token - 2 * LENGTH * 16


@pytest.mark.parametrize("k", [LENGTH + 1, 0])
def test_more_tokens_than_there_are_cannot_be_selected(k):
    text = written(f"{{type: top_k, k: {k}}}")
    with pytest.raises(SpecError) as error:
        mmspec.lower(read(text, CATALOGUE, origin="selected.yaml"))
    row, column = map(int, re.search(r"selected.yaml:(\d+):(\d+)", str(error.value)).groups())
    assert text.splitlines()[row - 1][column - 1 :].startswith(str(k))
