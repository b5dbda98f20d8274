"""What training minimises, and its gradients, against the formulas of a whole model: encoders, fusion, exits, losses."""

import pytest
import torch
from exits import FORMULAS
from reference import Mix, Weights, classification, cross_entropy, feed_forward, row, text_transformer, top_k, vit
from tiny_models import built, example, spec
from torch import Tensor

from mmspec.backend import build_objectives
from mmspec.spec import ModelSpec

TARGET = torch.tensor([3, 0, 4, 4])
GATED = "type: gated, heads: 4"
HALTING = "halting: {type: confidence, head: label, exit_weight: 0.4}"


def losses(
    model_spec: ModelSpec, dtype: torch.dtype = torch.float64, **targets: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor], Weights]:
    """The losses by name, the gradients of their total by parameter, and the weights for a formula."""
    model = built(model_spec).to(dtype).train()
    found = build_objectives(model_spec)(model(**example(dtype=dtype)), targets or {"answer": TARGET})
    found["total"].backward()
    gradients = {name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in model.named_parameters()}
    return found, gradients, Weights.of(model)


def answers(w: Weights, fusion: str, mix: Mix = feed_forward) -> list[Tensor]:
    """The label's logits after each block of the fusion, from pixels and ids."""
    inputs = example(dtype=torch.float64)
    there = inputs["text"] != 0
    streams = {
        "image": (vit(w.at("image"), inputs["image"], 4, 2, mix=mix), None),
        "text": (text_transformer(w.at("text"), inputs["text"], there, 3), there),
    }
    logits = []
    for after in FORMULAS[fusion](w.at("joint"), streams, mix):
        x, present = row(*after.values()) if isinstance(after, dict) else after
        logits.append(classification(w.at("label"), x, present))
    return logits


def assert_gradients(found: dict[str, Tensor], expected: Tensor, w: Weights, tolerance: float = 1e-9) -> None:
    expected.backward()
    wanted = {name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in w.tensors.items()}
    assert found.keys() == wanted.keys()
    spread = torch.cat([gradient.flatten() for gradient in wanted.values()]).std()
    for name, gradient in wanted.items():
        assert (found[name] - gradient).abs().max() <= tolerance * spread, name


def objective(options: str = "") -> list[str]:
    return [f"{{type: cross_entropy, head: label, target: answer{options}}}"]


@pytest.mark.parametrize("fusion", FORMULAS)
def test_a_model_learns_what_its_formulas_would_learn(fusion: str) -> None:
    """-log p of the last exit + exit_weight * mean over the earlier exits, and every parameter's gradient of it."""
    found, gradients, w = losses(spec(f"{fusion}, depth: 3, {HALTING}", objectives=objective()))
    *earlier, last = answers(w, fusion)
    expected = cross_entropy(last, TARGET) + 0.4 * sum(cross_entropy(logits, TARGET) for logits in earlier) / 2
    torch.testing.assert_close(found["total"], expected)
    torch.testing.assert_close(found["label"], expected)
    assert_gradients(gradients, expected, w)
    assert w.unread() == []


def test_balance_losses_of_all_blocks_and_nodes_are_added() -> None:
    router = "router: {type: top_k, experts: 3, k: 2, balance: 0.3}"
    encoder = {"image": f"{{type: vit, patch_size: 4, width: 16, depth: 1, heads: 2, expansion: 2, {router}}}"}
    multi = "type: transformer, heads: 4, streams: multi"
    for halting, fusion in ((HALTING, multi), ("halting: none", GATED)):
        made = spec(f"{fusion}, depth: 2, {router}, {halting}", encoders=encoder, objectives=objective())
        found, gradients, w = losses(made)
        balance: list[Tensor] = []
        logits = answers(w, fusion, top_k(2, 0.3, balance))
        entropy = cross_entropy(logits[-1], TARGET)
        if halting == HALTING:
            entropy = entropy + 0.4 * cross_entropy(logits[0], TARGET)
        of_image, of_joint = balance[0], sum(balance[1:])
        assert len(balance) == (5 if fusion == multi else 3)
        torch.testing.assert_close(found["image.balance"].double(), of_image, rtol=1e-6, atol=0)
        torch.testing.assert_close(found["joint.balance"].double(), of_joint, rtol=1e-6, atol=0)
        torch.testing.assert_close(found["total"].double(), entropy + of_image + of_joint, rtol=1e-6, atol=0)
        assert_gradients(gradients, entropy + of_image + of_joint, w, tolerance=1e-5)  # the router's softmax is float32


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_the_mean_of_minus_log_p(smoothing: float) -> None:
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        options = f", label_smoothing: {smoothing}, weight: 2.5"
        found, _, w = losses(spec(f"{GATED}, depth: 2, {HALTING}", objectives=objective(options)), dtype)
        first, last = answers(w, GATED)
        expected = 2.5 * (cross_entropy(last, TARGET, smoothing) + 0.4 * cross_entropy(first, TARGET, smoothing))
        torch.testing.assert_close(found["total"].double(), expected, rtol=tolerance, atol=0)


def test_an_exit_weight_of_zero_trains_the_last_exit_alone() -> None:
    halting = HALTING.replace("0.4", "0")
    found, gradients, w = losses(spec(f"{GATED}, depth: 2, {halting}", objectives=objective()))
    expected = cross_entropy(answers(w, GATED)[-1], TARGET)
    torch.testing.assert_close(found["total"], expected)
    assert_gradients(gradients, expected, w)


def test_objectives_are_added_and_only_a_head_that_is_asked_at_exits_is_judged_there() -> None:
    heads = {"label": "{type: classification, classes: 5}", "kind": "{type: classification, classes: 3, pool: max}"}
    both = [*objective(), "{type: cross_entropy, head: kind, target: kind, weight: 0.5}"]
    kind = torch.tensor([0, 2, 2, 1])
    made = spec(f"{GATED}, depth: 2, {HALTING}", heads=heads, objectives=both, outputs=["joint"])
    found, _, w = losses(made, answer=TARGET, kind=kind)
    first, last = answers(w, GATED)
    of_label = cross_entropy(last, TARGET) + 0.4 * cross_entropy(first, TARGET)
    joint = built(made).double().train()(**example(dtype=torch.float64))["joint"]
    of_kind = 0.5 * cross_entropy(classification(w.at("kind"), joint, None, "max"), kind)
    torch.testing.assert_close(found["label"], of_label)
    torch.testing.assert_close(found["kind"], of_kind)
    torch.testing.assert_close(found["total"], of_label + of_kind)


def test_one_column_may_judge_two_heads_and_one_head_twice() -> None:
    head = "{type: classification, classes: 5}"
    both = [*objective(), "{type: cross_entropy, head: other, target: answer}", *objective(", label_smoothing: 0.3")]
    made = spec(GATED, heads={"label": head, "other": head}, objectives=both)
    found, _, w = losses(made)
    logits = answers(w, GATED)[-1]
    other = built(made).double()(**example(dtype=torch.float64))["other"]
    expected = [cross_entropy(logits, TARGET), cross_entropy(other, TARGET), cross_entropy(logits, TARGET, 0.3)]
    assert list(build_objectives(made).inputs) == ["label", "answer_target", "other"]
    for loss, value in zip([loss for name, loss in found.items() if name != "total"], expected, strict=True):
        torch.testing.assert_close(loss, value)
    torch.testing.assert_close(found["total"], sum(expected))


@pytest.mark.parametrize("fusion", FORMULAS)
def test_dropout_is_noise_in_training_and_nothing_at_inference(fusion: str) -> None:
    def label(dropout: float, training: bool, seed: int) -> Tensor:
        encoder = f"{{type: vit, patch_size: 4, width: 16, depth: 1, heads: 2, dropout: {dropout}}}"
        model = built(spec(f"{fusion}, depth: 1, dropout: {dropout}", encoders={"image": encoder})).train(training)
        torch.manual_seed(seed)
        return model(**example())["label"]

    assert label(0.5, False, 1).equal(label(0, False, 2))
    assert not label(0.5, True, 1).equal(label(0.5, True, 2))
    assert label(0.5, True, 1).equal(label(0.5, True, 1))


@pytest.mark.parametrize("frozen", ["image", "label"])
@pytest.mark.parametrize("halting", ["halting: none", HALTING])
def test_what_is_frozen_does_not_learn(frozen: str, halting: str) -> None:
    options = {
        "encoders": {"image": "{type: vit, patch_size: 4, width: 16, depth: 1, heads: 2, frozen: true}"}
        if frozen == "image"
        else {},
        "heads": {"label": "{type: classification, classes: 5" + (", frozen: true}" if frozen == "label" else "}")},
    }
    _, gradients, _ = losses(spec(f"{GATED}, depth: 2, {halting}", objectives=objective(), **options))
    learning = {name.partition(".")[0] for name, gradient in gradients.items() if gradient.any()}
    assert learning == {"image", "text", "joint", "label"} - {frozen}


def test_one_small_step_down_the_gradient_lowers_the_loss() -> None:
    """Not the formula's gradients but the slope itself: the loss falls by step * |gradient|^2."""
    router = "router: {type: top_k, experts: 3, k: 2, balance: 0}"
    made = spec(f"{GATED}, depth: 2, {router}, {HALTING}", objectives=objective())
    model, objectives, inputs = built(made).double().train(), build_objectives(made), example(dtype=torch.float64)

    def total() -> Tensor:
        return objectives(model(**inputs), {"answer": TARGET})["total"]

    parameters = list(model.parameters())
    before = total()
    before.backward()
    slope = sum(float(p.grad.square().sum()) for p in parameters if p.grad is not None)
    step = 1e-5 / slope
    for p in parameters:
        if p.grad is not None:
            p.data -= step * p.grad
    assert (before - total()).item() == pytest.approx(1e-5, rel=0.02)
