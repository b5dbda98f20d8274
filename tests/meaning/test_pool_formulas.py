"""Pools and the classification head, sample by sample."""

import pytest
import torch
from influence import run
from reference import Weights, classification
from tiny_models import assert_agree, built, example, masks, spec

POOLS = ["mean", "max", "first", "last", "attention"]
STREAMS = ("image", "text", "note")


def heads() -> dict[str, str]:
    """A head for each pool on each encoder."""
    return {
        f"{stream}_{pool}": f"{{type: classification, classes: 5, pool: {pool}, from: {stream}}}"
        for stream in STREAMS
        for pool in POOLS
    }


def test_a_head_pools_the_tokens_that_are_there_and_reads_them_linearly() -> None:
    """The fourth sample's note is absent: zeros are pooled, and the head says its bias."""
    model = built(spec(streams=STREAMS, heads=heads(), outputs=STREAMS))
    for dtype in (torch.float32, torch.float64):
        model, inputs = model.to(dtype), example(STREAMS, dtype=dtype)
        found, w = model(**inputs), Weights.of(model)
        for stream, present in masks(inputs).items():
            for pool in POOLS:
                head = f"{stream}_{pool}"
                assert_agree(found[head], classification(w.at(head), found[stream].double(), present, pool))
                assert w.at(head).unread() == []
        for pool in POOLS:
            assert found[f"note_{pool}"][3].equal(model.get_parameter(f"note_{pool}.output.bias"))


@pytest.mark.parametrize("pool", POOLS)
def test_a_pool_listens_to_the_tokens_that_it_names(pool: str) -> None:
    model, inputs = built(spec(streams=STREAMS, heads=heads())), example(STREAMS)
    outputs, leaves = run(model, inputs, *STREAMS)
    for stream, present in masks(inputs).items():
        leaf = leaves[stream]
        there = torch.ones(leaf.shape[:2], dtype=torch.bool) if present is None else present
        (gradient,) = torch.autograd.grad(outputs[f"{stream}_{pool}"].square().sum(), leaf)
        heard = gradient.abs().amax(-1) > 0
        place = torch.arange(there.shape[1]).expand_as(there)
        if pool in ("mean", "attention"):
            assert heard.equal(there)
        elif pool == "max":
            best = leaf.masked_fill(~there[:, :, None], -torch.inf).argmax(1)  # of each channel
            assert heard.equal(there & (place[:, :, None] == best[:, None]).any(-1))
        else:
            ends = place.masked_fill(~there, 99).amin(1) if pool == "first" else place.masked_fill(~there, -1).amax(1)
            assert heard.equal(there & (place == ends[:, None]))


def test_a_maximum_may_be_negative() -> None:
    model = built(
        spec(
            streams=("image", "text"),
            heads={name: text for name, text in heads().items() if "note" not in name},
            outputs=["text"],
        )
    )
    model.get_parameter("text.norm.bias").data.fill_(-50.0)
    inputs = example()
    found = model(**inputs)
    assert (found["text"] < 0).all()
    w = Weights.of(model)
    assert_agree(
        found["text_max"], classification(w.at("text_max"), found["text"].double(), inputs["text"] != 0, "max")
    )


def test_equal_scores_make_attention_the_mean() -> None:
    model = built(spec(streams=STREAMS, heads=heads()))
    for stream in STREAMS:
        model.get_parameter(f"{stream}_attention.score.weight").data.zero_()
        for name in ("weight", "bias"):
            mean = model.get_parameter(f"{stream}_mean.output.{name}")
            model.get_parameter(f"{stream}_attention.output.{name}").data.copy_(mean)
    found = model(**example(STREAMS))
    for stream in STREAMS:
        assert_agree(found[f"{stream}_attention"], found[f"{stream}_mean"])
