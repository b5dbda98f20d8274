"""Every halting policy against a loop over samples that is written from its paper."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from exits import Journey, journeys
from tiny_models import assert_agree, built, example, spec
from torch import Tensor, nn

import mmspec
from mmspec.backend import build_objectives
from mmspec.deploy.cases import Case
from mmspec.deploy.exits import mixed_thresholds
from mmspec.spec import ModelSpec, SpecError

DEPTH, BATCH = 4, 16
GATED = "type: gated, heads: 4"
STREAMS = ("image", "text")
OBJECTIVE = "{type: cross_entropy, head: label, target: answer}"


def of(policy: str, outputs: tuple[str, ...] = ("image", "text", "joint", "label.exit"), **more: object) -> ModelSpec:
    fusion = f"{GATED}, depth: {DEPTH}, expansion: 2, halting: {{{policy}}}"
    return spec(fusion, STREAMS, outputs=outputs, objectives=[OBJECTIVE], **more)


def halting(policy: str, **more: object) -> nn.Module:
    model = built(of(policy, **more))
    model.label.output.weight.data.mul_(4)  # answers of all degrees of confidence
    return model


def walked(
    policy: str, sharpness: float = 1.0
) -> tuple[nn.Module, dict[str, Tensor], dict[str, Tensor], list[Journey]]:
    """A model that stops at a policy, its inputs, what it answers, and each sample alone through all blocks."""
    model, inputs = halting(policy), example(batch=BATCH)
    model.label.output.weight.data.mul_(sharpness)
    found = model(**inputs)
    return model, inputs, found, journeys(model, GATED, found, inputs)


def assert_left(
    found: dict[str, Tensor], samples: list[Journey], exits: list[int], after: list[int] | None = None
) -> None:
    """Each sample left at its exit with what it had there, and samples left at several."""
    after = after or list(range(1, DEPTH + 1))
    assert found["label.exit"].tolist() == exits
    assert len(set(exits)) > 1, "samples leave at several exits"
    for b, exit in enumerate(exits):
        step = samples[b][after[exit] - 1]
        assert_agree(found["label"][b], step.logits)
        assert_agree(found["joint"][b], step.tokens["joint"])


def mix(model: nn.Module, inputs: dict[str, Tensor]) -> None:
    """Set thresholds at which this batch leaves at several exits."""
    found = mixed_thresholds(model, Case("", tuple(inputs.values())), 1e-3)
    assert found is not None
    for name, thresholds in found.items():
        model.get_submodule(name).thresholds.copy_(thresholds)


def first(leaves: list[bool]) -> int:
    return leaves.index(True) if True in leaves else len(leaves)


def test_by_entropy_a_sample_leaves_when_its_answer_has_little() -> None:
    def entropy(logits: Tensor) -> float:
        p = logits.double().softmax(-1)
        return -sum(q * math.log(q) for q in p.tolist() if q > 0)

    _, _, _, samples = walked("type: entropy, threshold: 0")
    ordered = sorted(entropy(journey[0].logits) for journey in samples)
    threshold = round((ordered[BATCH // 2] + ordered[BATCH // 2 + 1]) / 2, 4)
    _, _, found, samples = walked(f"type: entropy, threshold: {threshold}")
    assert_left(found, samples, [first([entropy(step.logits) < threshold for step in j[:-1]]) for j in samples])


def test_by_improvement_a_sample_leaves_when_its_tokens_hardly_change() -> None:
    def changes(journey: Journey, start: Tensor) -> list[float]:
        states = [start.double(), *(step.tokens["joint"].double() for step in journey)]
        return [float((b - a).norm() / a.norm()) for a, b in itertools.pairwise(states)]

    _, _, found, samples = walked("type: improvement, threshold: 0")
    every = [changes(j, found["image"][b]) for b, j in enumerate(samples)]
    ordered = sorted(min(change[:-1]) for change in every)
    threshold = round((ordered[BATCH // 2] + ordered[BATCH // 2 + 1]) / 2, 5)
    _, _, found, samples = walked(f"type: improvement, threshold: {threshold}")
    every = [changes(j, found["image"][b]) for b, j in enumerate(samples)]
    assert_left(found, samples, [first([c < threshold for c in change[:-1]]) for change in every])


def test_absent_tokens_do_not_decide_whether_a_sample_still_changes() -> None:
    model = built(
        spec(
            f"{GATED}, depth: 3, halting: {{type: improvement, threshold: 0.9}}",
            ("text", "image"),
            outputs=["label.exit"],
        )
    )
    inputs = example(("text", "image"), BATCH)
    before = model(**inputs)["label.exit"]
    mask = inputs["text"] != 0
    other = torch.where(mask, inputs["text"], torch.tensor(7))
    assert model(**inputs | {"text": other, "text_mask": mask})["label.exit"].equal(before)


@pytest.mark.parametrize("patience", [1, 2])
def test_by_patience_a_sample_leaves_when_exits_agree(patience: int) -> None:
    def leaves(journey: Journey) -> list[bool]:
        count, said, result = 0, None, []
        for step in journey[:-1]:
            now = int(step.logits.argmax())
            count = count + 1 if now == said else 0
            said = now
            result.append(count >= patience)
        return result

    _, _, found, samples = walked(f"type: patience, patience: {patience}")
    assert_left(found, samples, [first(leaves(journey)) for journey in samples])


def halting_odds(model: nn.Module, journey: Journey) -> list[float]:
    """How likely the halting unit finds it to halt at each exit but the last."""
    unit = model.joint.halting.output
    seen = [step.tokens["joint"].mean(0).to(unit.weight.dtype) for step in journey[:-1]]
    return [torch.sigmoid(unit(x)).item() for x in seen]


def test_a_learned_halting_is_left_when_half_of_it_has_happened() -> None:
    model, inputs = halting("type: ponder, threshold: 0.6"), example(batch=BATCH)
    assert model.joint.blocks.thresholds.tolist() == pytest.approx([0.6] * (DEPTH - 1))
    mix(model, inputs)
    limits = model.joint.blocks.thresholds.tolist()
    found = model(**inputs)
    samples, exits = journeys(model, GATED, found, inputs), []
    for journey in samples:
        on, leaves = 1.0, []
        for odds, limit in zip(halting_odds(model, journey), limits, strict=True):
            on *= 1 - odds
            leaves.append(1 - on > limit)
        exits.append(first(leaves))
    assert_left(found, samples, exits)


def test_a_learned_halting_is_trained_by_every_exit_as_likely_as_it_is_and_held_to_its_prior() -> None:
    said = of("type: ponder, prior: 0.3, regulariser: 0.25")
    model, inputs = built(said), example(batch=BATCH)
    samples = journeys(model, GATED, model(**inputs), inputs)
    targets = torch.arange(BATCH) % 5
    loss = build_objectives(said)(model.train()(**inputs), {"answer": targets})["total"]
    expected = 0.0
    for b, journey in enumerate(samples):
        on, chances = 1.0, []
        for odds in halting_odds(model, journey):
            chances.append(on * odds)
            on *= 1 - odds
        chances.append(on)
        prior = [0.3 * 0.7**n for n in range(DEPTH - 1)] + [0.7 ** (DEPTH - 1)]
        losses = [float(F.cross_entropy(step.logits, targets[b])) for step in journey]
        expected += sum(p * loss for p, loss in zip(chances, losses, strict=True)) / BATCH
        expected += 0.25 * sum(p * math.log(p / q) for p, q in zip(chances, prior, strict=True)) / BATCH
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_unit_that_is_certain_still_has_a_slope() -> None:
    """Later exits then have a probability of exactly 0."""
    said = of("type: ponder")
    model = built(said).train()
    model.joint.halting.output.bias.data.fill_(60.0)
    outputs = model(**example(batch=4))
    assert outputs["label.halting"][1:].eq(0).all()
    build_objectives(said)(outputs, {"answer": torch.arange(4)})["total"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_without_a_prior_the_expected_depth_is_what_is_kept_low() -> None:
    inputs, targets = example(batch=BATCH), {"answer": torch.arange(BATCH) % 5}
    losses = []
    for regulariser in (0, 1):
        said = of(f"type: ponder, prior: null, regulariser: {regulariser}")
        model = built(said).train()
        outputs = model(**inputs)
        losses.append(build_objectives(said)(outputs, targets)["total"].item())
    chances = outputs["label.halting"]
    depth = (chances * torch.arange(1, DEPTH + 1)[:, None]).sum(0).mean().item()
    assert losses[1] - losses[0] == pytest.approx(depth, rel=1e-4)
    assert chances.sum(0).allclose(torch.ones(BATCH))


def test_a_budget_is_spent_as_far_as_it_goes_and_not_further() -> None:
    said = of("type: budget", inputs={"budget": "{type: number}"})
    price = mmspec.profile(said)
    fused = next(node for node in price.nodes if node.name == "joint")
    around = price["flops.total"] - fused.exits[-1]
    costs = [around + exit for exit in fused.exits]  # of the whole model, at each exit
    model, inputs = built(said), example(batch=BATCH)
    budgets = torch.linspace(0.5 * costs[0], 1.2 * costs[-1], BATCH)
    samples = journeys(model, GATED, model(**inputs), inputs)
    found = model(**inputs, budget=budgets)
    exits = [max([i for i, cost in enumerate(costs) if cost <= b], default=0) for b in budgets.tolist()]
    assert_left(found, samples, exits)
    assert set(exits) == set(range(DEPTH)), "at every exit, the first where not even that is paid for"
    assert model(**inputs)["label.exit"].eq(DEPTH - 1).all(), "no budget is no limit"


def test_exits_lie_where_the_spec_puts_them_each_with_a_threshold_and_a_head_of_its_own() -> None:
    policy = "type: confidence, head: label, exits: [1, 3], threshold: [0.5, 0.4], own_heads: true"
    model, inputs = halting(policy), example(batch=BATCH)
    for head in model.joint.exit_heads:
        head.output.weight.data.mul_(4)
    assert model.joint.blocks.thresholds.tolist() == pytest.approx([0.5, 0.4])
    mix(model, inputs)
    limits = model.joint.blocks.thresholds.tolist()
    found = model(**inputs)
    samples = journeys(model, GATED, found, inputs)
    after, heads = [1, 3, DEPTH], [*model.joint.exit_heads, model.label]
    exits = []
    for b, journey in enumerate(samples):
        said = [
            head.output(journey[n - 1].tokens["joint"].mean(0).float()) for n, head in zip(after, heads, strict=True)
        ]
        sure = [logits.softmax(-1).max().item() for logits in said]
        exits.append(first([sure[0] > limits[0], sure[1] > limits[1]]))
        assert_agree(found["label"][b], said[exits[-1]])
    assert found["label.exit"].tolist() == exits and len(set(exits)) > 1


def test_earlier_exits_are_weighed_one_by_one_and_taught_by_the_last() -> None:
    inputs, targets = example(batch=BATCH), torch.arange(BATCH) % 5
    said = of("type: confidence, exit_weight: [0.5, 0.25, 2], distil: 0.7, temperature: 3")
    model = built(said).train()
    outputs = model(**inputs)
    loss = build_objectives(said)(outputs, {"answer": targets})["total"]
    *earlier, last = outputs["label.exits"].detach()
    expected = F.cross_entropy(last, targets)
    expected += sum(w * F.cross_entropy(exit, targets) for w, exit in zip([0.5, 0.25, 2], earlier, strict=True))
    teacher = (last / 3).softmax(-1)
    for exit in earlier:
        expected += 0.7 * 9 * F.kl_div((exit / 3).log_softmax(-1), teacher, reduction="batchmean") / len(earlier)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    taught = model.label.output.weight.grad.clone()
    assert taught.abs().sum() > 0


# stacks that are no fusions ---------------------------------------------------------------------------------------------


VIT = "{{type: vit, patch_size: 4, width: 16, depth: 4, heads: 2, expansion: 2, {more}halting: {policy}}}"


@pytest.mark.parametrize("port", ["image", "image.class"])
def test_an_encoder_s_exits_show_the_head_what_it_would_see_if_the_stack_ended_there(port: str) -> None:
    """The same weights in a stack that is as deep as the exit: its last norm, its class token and its head."""
    more = "class_token: true, " if port == "image.class" else ""
    heads = {"label": f"{{type: classification, classes: 5, from: {port}}}"}
    policy = "{type: confidence, threshold: 0.5, head: label}"
    said = spec(
        streams=["image"],
        encoders={"image": VIT.format(more=more, policy=policy)},
        heads=heads,
        outputs=["label.exit", "image"],
    )
    model, inputs = built(said), example(["image"], BATCH)
    model.label.output.weight.data.mul_(4)
    mix(model, inputs)
    found = model(**inputs)
    assert len(found["label.exit"].unique()) > 1
    state = {name.replace("readout.", ""): value for name, value in model.state_dict().items()}
    for exit in range(4):
        shorter = VIT.format(more=more, policy="none").replace("depth: 4", f"depth: {exit + 1}")
        plain = built(spec(streams=["image"], encoders={"image": shorter}, heads=heads, outputs=["image"]))
        plain.load_state_dict({name: state[name] for name in plain.state_dict()})
        alone, here = plain(**inputs), found["label.exit"] == exit
        assert torch.allclose(found["label"][here], alone["label"][here], atol=1e-5)
        assert torch.allclose(found["image"][here], alone["image"][here], atol=1e-5)


def test_a_stack_without_a_head_stops_when_it_changes_little_and_hands_on_what_it_has() -> None:
    encoders = {
        "text": "{type: text_transformer, width: 24, depth: 4, heads: 3, halting: {type: improvement, threshold: 0.6}}"
    }
    said = spec("type: concat, depth: 1", STREAMS, encoders=encoders, outputs=["text", "text.exit"])
    model, inputs = built(said), example(batch=BATCH)
    mix(model, inputs)
    found = model(**inputs)
    assert len(found["text.exit"].unique()) > 1
    for exit in range(4):
        model.text.blocks.force(exit)
        here = found["text.exit"] == exit
        assert torch.allclose(model(**inputs)["text"][here], found["text"][here], atol=1e-5)


# what is refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        ("type: entropy, threshold: 1.7", "every answer over 5 classes has an entropy below 1.7"),
        ("type: confidence, exits: [2, 4]", "there is no exit after block 4: a stack of 4 blocks ends there"),
        ("type: confidence, exits: [2, 7]", "there is no block 7: the depth is 4"),
        ("type: confidence, exits: [2, 1]", "exits are blocks in ascending order"),
        ("type: confidence, threshold: [0.5]", "1 thresholds for 3 exits before the last"),
        ("type: confidence, exit_weight: [1]", "1 weights for 3 exits before the last"),
        ("type: patience, patience: 3", "3 exits cannot confirm an earlier one: there are 3 before the last"),
        ("type: budget, budget: money", "there is no input 'money'"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_at_its_line(policy: str, complaint: str) -> None:
    with pytest.raises(SpecError) as caught:
        mmspec.lower(of(policy))
    (problem,) = caught.value.diagnostics
    assert problem.message.startswith(complaint)
    assert problem.position is not None and problem.position.line == 9
