"""Streams of a fusion that stop for themselves, against a loop over samples and streams."""

import pytest
import torch
from tiny_models import assert_agree, built, example, masks, spec
from torch import Tensor, nn

import mmspec
from mmspec.spec import ModelSpec, SpecError

DEPTH, BATCH = 4, 12
STREAMS = ("image", "text")
OUTPUTS = (*STREAMS, "joint.image", "joint.text", "joint.image.exit", "joint.text.exit")


def of(policy: str, fusion: str = "type: transformer, heads: 4, streams: multi") -> ModelSpec:
    return spec(
        f"{fusion}, depth: {DEPTH}, expansion: 2, halting: {{type: by_stream{policy}}}", STREAMS, outputs=OUTPUTS
    )


def one(values: dict[str, Tensor], b: int, names: tuple[str, ...]) -> dict[str, Tensor]:
    return {name: values[name][b : b + 1] for name in names}


def walked(
    model: nn.Module, x: dict[str, Tensor], there: dict[str, Tensor], limits: dict[str, float]
) -> dict[str, tuple[Tensor, int, float]]:
    """One sample, block after block: each stream's tokens, the block after which it stopped, and the least that it changed before."""
    adapted = model.joint.adapt_text(x["text"]) if hasattr(model.joint, "adapt_text") else x["text"]
    state, exits = {"image": x["image"], "text": adapted}, dict.fromkeys(STREAMS, DEPTH - 1)
    going, least = dict.fromkeys(STREAMS, True), dict.fromkeys(STREAMS, torch.inf)
    for number, block in enumerate(model.joint.blocks):
        after = dict(state)
        for name in STREAMS:
            if not going[name]:
                continue
            other = "text" if name == "image" else "image"
            mask = {"text": there["text"]}
            after[name] = getattr(block, name)[0](state[name], state[other], mask["text"])
            present = there[name].unsqueeze(-1)
            change = ((after[name] - state[name]) * present).norm() / (state[name] * present).norm()
            if number < DEPTH - 1:
                least[name] = min(least[name], change.item())
            if change < limits[name]:
                going[name], exits[name] = False, number
        state = after
    return {name: (state[name], exits[name], least[name]) for name in STREAMS}


def test_each_stream_stops_where_it_hardly_changes_and_is_seen_as_it_is_from_then_on() -> None:
    plain, inputs = built(of(", threshold: 0")), example(STREAMS, BATCH)
    found = plain(**inputs)
    assert found["joint.image.exit"].eq(DEPTH - 1).all() and found["joint.text.exit"].eq(DEPTH - 1).all()
    present = {"image": torch.ones(BATCH, 9, dtype=torch.bool), "text": masks(inputs)["text"]}
    never = dict.fromkeys(STREAMS, 0.0)
    alone = [walked(plain, one(found, b, STREAMS), one(present, b, STREAMS), never) for b in range(BATCH)]
    limits = {}  # what half the samples come below
    for name in STREAMS:
        ordered = sorted(walk[name][2] for walk in alone)
        limits[name] = round((ordered[BATCH // 2] + ordered[BATCH // 2 - 1]) / 2, 5)
    model = built(of(f", threshold: [{limits['image']}, {limits['text']}]"))
    found = model(**inputs)
    stopped = []
    for b in range(BATCH):
        there = one(present, b, STREAMS)
        for name, (tokens, exit, _) in walked(model, one(found, b, STREAMS), there, limits).items():
            assert found[f"joint.{name}.exit"][b] == exit
            kept = there[name][0]
            assert_agree(found[f"joint.{name}"][b][kept], tokens[0][kept], 1e-4)
            stopped.append((name, exit))
    assert all(len({exit for other, exit in stopped if other == name}) > 1 for name in STREAMS)
    assert any(found["joint.image.exit"] != found["joint.text.exit"]), "one stops before the other"


def test_a_stream_that_has_stopped_is_not_computed() -> None:
    model, inputs = built(of(", threshold: [100, 0]")), example(STREAMS, BATCH)
    rows = {name: [0] * DEPTH for name in STREAMS}

    def count(name: str, block: int) -> object:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            rows[name][block] += len(args[0])

        return hook

    for number, block in enumerate(model.joint.blocks):
        for name in STREAMS:
            getattr(block, name)[0].register_forward_pre_hook(count(name, number))
    found = model(**inputs)
    assert found["joint.image.exit"].eq(0).all() and found["joint.text.exit"].eq(DEPTH - 1).all()
    assert rows == {"image": [BATCH, 0, 0, 0], "text": [BATCH] * DEPTH}


def test_in_training_every_stream_goes_all_the_way() -> None:
    inputs = example(STREAMS, BATCH)
    never, soon = built(of(", threshold: 0")), built(of(", threshold: 100"))
    assert soon.train()(**inputs)["joint.image"].equal(never.train()(**inputs)["joint.image"])


@pytest.mark.parametrize(
    ("policy", "fusion", "complaint"),
    [
        ("", "type: gated, heads: 4", "here is one stream, and no other to stop before it"),
        (", threshold: [0.1, 0.2, 0.3]", "type: transformer, heads: 4, streams: multi", "3 thresholds for 2 streams"),
    ],
)
def test_what_has_no_streams_to_stop_is_refused(policy: str, fusion: str, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        mmspec.lower(of(policy, fusion))


@pytest.mark.parametrize("field", ["router", "attention_router"])
def test_streams_that_stop_for_themselves_have_no_experts(field: str) -> None:
    with pytest.raises(SpecError, match="has none itself"):
        mmspec.lower(of("", f"type: transformer, heads: 4, streams: multi, {field}: top_k"))
