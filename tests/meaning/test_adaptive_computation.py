"""Adaptive computation time against Graves' equations, sample by sample and token by token."""

import pytest
import torch
from tiny_models import assert_agree, built, example, spec
from torch import Tensor, nn

import mmspec
from mmspec.backend import build_objectives
from mmspec.spec import ModelSpec, SpecError
from mmspec.testing import counted_flops

STEPS, BATCH, EPSILON = 5, 12, 0.1


def of(policy: str = "", encoder: str = "", objectives: tuple[str, ...] = ()) -> ModelSpec:
    halting = f"{{type: act, epsilon: {EPSILON}{policy}}}"
    text = f"{{type: text_transformer, width: 24, depth: {STEPS}, heads: 3, final_norm: false, halting: {halting}{encoder}}}"
    return spec(streams=["text"], encoders={"text": text}, outputs=["text", "text.exit"], objectives=objectives)


def walked(model: nn.Module, ids: Tensor, by_token: bool) -> tuple[Tensor, int, float]:
    """One text, its tokens alone: the mean state, the last step, and the sum over tokens of steps and remainder."""
    x = model.text.embedding[ids] + model.text.position[: len(ids)]
    block = model.text.blocks[0]
    mask = torch.ones(1, len(ids), dtype=torch.bool)
    units = len(ids) if by_token else 1
    total, done, cost = [0.0] * units, [False] * units, [0.0] * units
    mean, last = torch.zeros_like(x), 0
    x = x[None]
    for step in range(STEPS):
        x, chance = block(x, mask)[:2]
        for n in range(units):
            if done[n]:
                continue
            p = chance[0, n].item()
            rows = slice(n, n + 1) if by_token else slice(None)
            if total[n] + p > 1 - EPSILON or step == STEPS - 1:
                mean[rows] += (1 - total[n]) * x[0, rows]
                cost[n] = step + 1 + (1 - total[n])
                done[n] = True
            else:
                mean[rows] += p * x[0, rows]
                total[n] += p
        last = step
        if all(done):
            break
    return mean, last, sum(cost)


@pytest.mark.parametrize("per", ["token", "sample"])
def test_a_batch_gives_what_each_text_gives_alone(per: str) -> None:
    model, inputs = built(of(f", per: {per}, halting_bias: 0")), example(["text"], BATCH)
    model.text.blocks[0].halting.weight.data.mul_(3)
    found = model(**inputs)
    lasts = []
    for b, ids in enumerate(inputs["text"]):
        ids = ids[ids != 0]
        mean, last, _ = walked(model, ids, per == "token")
        lasts.append(last)
        assert_agree(found["text"][b, : len(ids)], mean, 1e-4)
    assert found["text.exit"].tolist() == lasts and len(set(lasts)) > 1


@pytest.mark.parametrize("per", ["token", "sample"])
def test_training_pays_for_the_steps_and_what_remains_of_the_last(per: str) -> None:
    objective = ("{type: cross_entropy, head: label, target: answer}",)
    targets = {"answer": torch.arange(BATCH) % 5}
    inputs, losses = example(["text"], BATCH), []
    for ponder in (0, 0.5):
        said = of(f", per: {per}, halting_bias: 0, ponder: {ponder}", objectives=objective)
        model = built(said)
        losses.append(build_objectives(said)(model.train()(**inputs), targets)["total"].item())
    costs = [walked(model.eval(), ids[ids != 0], per == "token")[2] for ids in inputs["text"]]
    units = int((inputs["text"] != 0).sum()) if per == "token" else BATCH
    assert losses[1] - losses[0] == pytest.approx(0.5 * sum(costs) / units, rel=1e-4)


def test_one_block_serves_every_step() -> None:
    plain, looped = mmspec.lower(of()), mmspec.profile(of())
    shallow = spec(
        streams=["text"],
        encoders={"text": "{type: text_transformer, width: 24, depth: 1, heads: 3, final_norm: false}"},
    )
    unit = 24 + 1
    assert looped["parameters.total"] == mmspec.profile(shallow)["parameters.total"] + unit
    node = next(node for node in looped.nodes if node.name == "text")
    assert node.exits == tuple(node.exits[0] * n for n in range(1, STEPS + 1))
    assert "text.exit" in plain.outputs


@pytest.mark.parametrize("exit", range(STEPS))
def test_a_sample_that_has_halted_costs_nothing_more(exit: int) -> None:
    said = of()
    model, inputs = built(said), example(["text"], 4)
    model.text.blocks.force(exit)
    price = mmspec.profile(said, batch=4)
    node = next(node for node in price.nodes if node.name == "text")
    assert counted_flops(model, inputs) == price["flops.total"] - node.exits[-1] + node.exits[exit]


@pytest.mark.parametrize(
    ("policy", "encoder", "complaint"),
    [
        ("", ", drop_path: 0.1", "a loop repeats one block, and these blocks differ"),
        ("", ", router: top_k, router_every: 2", "a loop repeats one block, and these blocks differ"),
        ("", ", taps: [1]", "a loop has one block, which cannot be tapped"),
    ],
)
def test_what_cannot_be_a_loop_is_refused(policy: str, encoder: str, complaint: str) -> None:
    with pytest.raises(SpecError) as caught:
        mmspec.lower(of(policy, encoder))
    assert caught.value.diagnostics[0].message.startswith(complaint)


def test_streams_that_would_stop_at_different_steps_are_no_loop() -> None:
    with pytest.raises(SpecError, match="several streams would halt at different steps"):
        mmspec.lower(spec("type: transformer, heads: 4, streams: multi, halting: act"))
