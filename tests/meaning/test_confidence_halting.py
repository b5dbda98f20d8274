"""Early exits against a loop over samples, at every batch size, and what may not happen after an exit."""

import pytest
import torch
from exits import FORMULAS, Journey, between, exit_of, journeys, splitting
from reference import Weights, classification, top_k
from tiny_models import HEAD, assert_agree, built, example, spec
from torch import Tensor, nn

DEPTH, BATCH = 3, 8
GATED = "type: gated, heads: 4"
MULTI = "type: transformer, heads: 4, streams: multi"


def halting(
    fusion: str = GATED,
    streams: tuple[str, ...] = ("image", "text"),
    options: str = "",
    policy: str = "threshold: 0.9",
    **more: object,
) -> nn.Module:
    ports = [f"joint.{name}" for name in streams] if "multi" in fusion else []
    fusion = f"{fusion}, depth: {DEPTH}, expansion: 2{options}, halting: {{type: confidence, head: label, {policy}}}"
    model = built(spec(fusion, streams, outputs=[*streams, "joint", *ports, "label.exit"], **more))
    model.label.output.weight.data.mul_(4)  # answers of all degrees of confidence
    return model


def set_thresholds(model: nn.Module, *thresholds: float) -> None:
    model.joint.blocks.thresholds.copy_(torch.tensor(thresholds))


def assert_as_alone(
    found: dict[str, Tensor], samples: list[Journey], thresholds: Tensor, tolerance: float | None = None
) -> None:
    exits = [exit_of(journey, thresholds) for journey in samples]
    assert found["label.exit"].tolist() == exits
    last = [journey[e] for journey, e in zip(samples, exits, strict=True)]
    for b, step in enumerate(last):
        assert_agree(found["label"][b], step.logits, tolerance)
        for name, tokens in step.tokens.items():
            assert_agree(found[name][b], tokens, tolerance)


def of_first(inputs: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    return {name: value[:count] for name, value in inputs.items()}


@pytest.mark.parametrize("streams", [("image", "text"), ("text", "image")], ids="-".join)
@pytest.mark.parametrize("fusion", FORMULAS)
def test_every_batch_size_gives_what_each_sample_gives_alone(fusion: str, streams: tuple[str, ...]) -> None:
    model, inputs = halting(fusion, streams), example(streams, BATCH)
    samples = journeys(model, fusion, model(**inputs), inputs)
    first, second = ([journey[block].confidence for journey in samples] for block in range(2))
    mixed = tuple(splitting(samples, 0.3, 0.4))
    for thresholds in (
        mixed,
        mixed[::-1],
        (between(first, 0.7), 1.0),
        (1.0, between(second, 0.5)),
        (0.0, 0.0),
        (1.0, 1.0),
    ):
        set_thresholds(model, *thresholds)
        for batch in range(1, BATCH + 1) if thresholds == mixed else (BATCH,):
            assert_as_alone(model(**of_first(inputs, batch)), samples[:batch], model.joint.blocks.thresholds)
    set_thresholds(model, *mixed)
    assert len(model(**inputs)["label.exit"].unique()) == DEPTH, "samples leave at every exit"


def test_exits_and_experts_together() -> None:
    model, inputs = halting(options=", router: {type: top_k, experts: 3, k: 2}"), example(batch=BATCH)
    samples = journeys(model, GATED, model(**inputs), inputs, top_k(2))
    set_thresholds(model, *splitting(samples))
    assert_as_alone(model(**inputs), samples, model.joint.blocks.thresholds)


def test_the_threshold_of_a_spec_is_the_one_at_every_exit() -> None:
    model = halting(policy="threshold: 0.375")
    assert model.joint.blocks.thresholds.tolist() == [0.375, 0.375]
    inputs = example(batch=BATCH)
    samples = journeys(model, GATED, model(**inputs), inputs)
    assert_as_alone(model(**inputs), samples, model.joint.blocks.thresholds)


def test_a_threshold_of_one_lets_nobody_leave_however_sure() -> None:
    model, inputs = halting(policy="threshold: 1"), example()
    model.label.output.weight.data.mul_(1e6)
    found = model(**inputs)
    assert found["label"].softmax(-1).amax(-1).eq(1).all()
    assert found["label.exit"].eq(DEPTH - 1).all()


def test_another_head_reads_the_tokens_that_each_sample_left_with() -> None:
    model = halting(heads={"label": HEAD, "other": "{type: classification, classes: 3, pool: max}"})
    inputs = example(batch=BATCH)
    samples = journeys(model, GATED, model(**inputs), inputs)
    set_thresholds(model, *splitting(samples))
    found = model(**inputs)
    left = torch.stack([journey[e].tokens["joint"] for journey, e in zip(samples, found["label.exit"], strict=True)])
    assert len(found["label.exit"].unique()) > 1
    assert_agree(found["other"], classification(Weights.of(model).at("other"), left, None, "max"))


@pytest.mark.parametrize("fusion", FORMULAS)
def test_the_order_of_a_batch_does_not_matter(fusion: str) -> None:
    model, inputs = halting(fusion), example(batch=BATCH)
    samples = journeys(model, fusion, model(**inputs), inputs)
    set_thresholds(model, *splitting(samples))
    found = model(**inputs)
    order = torch.tensor([5, 2, 7, 0, 1, 6, 4, 3])
    shuffled = model(**{name: value[order] for name, value in inputs.items()})
    assert shuffled["label.exit"].equal(found["label.exit"][order]) and len(found["label.exit"].unique()) > 1
    for name in ("label", "joint"):
        assert_agree(shuffled[name], found[name][order])


# what a sample that has left is spared -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", FORMULAS)
def test_later_blocks_do_not_touch_a_sample_that_has_left(fusion: str) -> None:
    """Blocks that make NaN of all they see."""
    model, inputs = halting(fusion), example(batch=BATCH)
    samples = journeys(model, fusion, model(**inputs), inputs)
    set_thresholds(model, *splitting(samples))
    before = model(**inputs)
    for block in (2, 1):
        for parameter in model.joint.blocks[block].parameters():
            parameter.data.fill_(torch.nan)
        found = model(**inputs)
        left = before["label.exit"] < block
        assert 0 < left.sum() < BATCH
        for name in ("label", "joint"):
            assert found[name][left].equal(before[name][left])
            assert found[name][~left].isnan().flatten(1).any(1).all()


def rows_seen(model: nn.Module, inputs: dict[str, Tensor]) -> tuple[list[int], int]:
    """How many samples each block is given, and how often the head is asked."""
    rows, asked = [0] * DEPTH, []

    def count(block: int) -> object:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            assert len({len(value) for value in args}) == 1, "what is the same for all blocks is cut down too"
            rows[block] += len(args[0])

        return hook

    handles = [block.register_forward_pre_hook(count(i)) for i, block in enumerate(model.joint.blocks)]
    handles.append(model.label.register_forward_pre_hook(lambda module, args: asked.append(len(args[0]))))
    model(**inputs)
    for handle in handles:
        handle.remove()
    assert asked == [r for r in rows if r], "the head is asked once at each exit, about those who have come so far"
    return rows, len(asked)


@pytest.mark.parametrize("fusion", FORMULAS)
def test_each_block_computes_the_samples_that_are_still_there(fusion: str) -> None:
    model, inputs = halting(fusion, ("text", "image")), example(("text", "image"), BATCH)
    samples = journeys(model, fusion, model(**inputs), inputs)
    set_thresholds(model, *splitting(samples))
    exits = model(**inputs)["label.exit"]
    assert rows_seen(model, inputs)[0] == [int((exits >= block).sum()) for block in range(DEPTH)]


@pytest.mark.parametrize("exit", range(DEPTH))
def test_a_forced_exit_skips_the_blocks_behind_it(exit: int) -> None:
    model, inputs = halting(MULTI), example()
    samples = journeys(model, MULTI, model(**inputs), inputs)
    model.joint.blocks.force(exit)
    assert rows_seen(model, inputs) == ([4] * (exit + 1) + [0] * (DEPTH - 1 - exit), exit + 1)
    found = model(**inputs)
    assert found["label.exit"].eq(exit).all()
    assert_agree(found["label"], torch.stack([journey[exit].logits for journey in samples]))

    model.joint.blocks.force(None)
    assert model.joint.blocks.thresholds.equal(torch.full((2,), 0.9))


# in training -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", FORMULAS)
def test_in_training_every_sample_goes_all_the_way_and_the_head_is_asked_after_every_block(fusion: str) -> None:
    model, inputs = halting(fusion), example()
    samples = journeys(model, fusion, model(**inputs), inputs)
    set_thresholds(model, *splitting(samples))
    exits = model(**inputs)["label.exit"]
    found = model.train()(**inputs)
    for block in range(DEPTH):
        assert_agree(found["label.exits"][block], torch.stack([journey[block].logits for journey in samples]))
    assert found["label"].equal(found["label.exits"][-1])
    assert_agree(found["joint"], torch.stack([journey[-1].tokens["joint"] for journey in samples]))
    assert found["label.exit"].equal(exits), "where each would have left"
    assert rows_seen(model, inputs) == ([4] * DEPTH, DEPTH)


def test_without_a_policy_there_are_no_exits() -> None:
    model = built(spec(f"{GATED}, halting: none")).train()
    assert set(model(**example())) == {"label"}
