"""A recipe's ways of holding less: blocks that are recomputed, products in bfloat16."""

import pytest
import torch

import mmspec
from mmspec.backend import build_objectives
from mmspec.backend.recompute import blocks, recompute_blocks
from mmspec.errors import UserError
from mmspec.passes import lower
from mmspec.testing import example
from mmspec.training import Recipe

SMALL = [
    "encoders.image.width=32",
    "encoders.image.depth=2",
    "encoders.text.width=32",
    "encoders.text.depth=2",
    "fusion.joint.width=32",
]


def gradients(model, objectives, inputs, targets):
    model.zero_grad()
    torch.manual_seed(3)  # dropout
    losses = objectives(model(**inputs), targets)
    losses["total"].backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("fusion_gated", [*SMALL, "encoders.text.dropout=0.3"]),  # experts, and dropout that falls again as it fell
        ("fusion_gated", [*SMALL, "fusion.joint.halting={type: confidence, threshold: 0.9, head: label}"]),
    ],
)
def test_recomputed_blocks_give_the_very_same_gradients(name, changes):
    spec = mmspec.load(name, changes)
    torch.manual_seed(0)
    model, objectives = mmspec.build(spec).train(), build_objectives(spec)
    inputs, targets = example(lower(spec), 4), {"answer": torch.zeros(4, dtype=torch.int64)}
    kept = gradients(model, objectives, inputs, targets)
    again = gradients(recompute_blocks(model), objectives, inputs, targets)
    assert kept.keys() == again.keys()
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_blocks_are_run_once_more_and_only_in_training():
    model = recompute_blocks(mmspec.build(mmspec.load("vit_b16", variant="small")).train())
    runs = []
    for block in blocks(model):
        block.norm1.register_forward_hook(lambda *_: runs.append(1))
    image = torch.randn(2, 3, 32, 32)
    model(image=image)["label"].sum().backward()
    assert len(runs) == 2 * 2
    model.eval()(image=image)["label"].sum().backward()
    assert len(runs) == 2 * 2 + 2
    recompute_blocks(model, on=False).train()(image=image)["label"].sum().backward()
    assert len(runs) == 2 * 2 + 2 + 2


def test_a_run_with_recomputed_blocks_is_the_same_run():
    spec = mmspec.load("fusion_gated", SMALL)
    plain, again = (
        mmspec.train(spec, {"steps": 3, "batch": 8, "evaluate_every": 3, "checkpoint": checkpoint}).losses
        for checkpoint in (False, True)
    )
    assert plain == again


def test_products_in_bfloat16_change_losses_a_little_and_leave_weights_as_they_are():
    spec = mmspec.load("fusion_gated", SMALL)
    plain, lower_ = (
        mmspec.train(spec, {"steps": 3, "batch": 8, "evaluate_every": 3, "precision": precision})
        for precision in ("fp32", "bf16-autocast")
    )
    assert plain.losses != lower_.losses
    assert lower_.losses == pytest.approx(plain.losses, rel=0.05)
    assert {p.dtype for p in lower_.module.parameters()} == {torch.float32}


def test_a_precision_that_nobody_knows_is_said():
    with pytest.raises(UserError, match="precision"):
        Recipe.read({"precision": "f16"})
