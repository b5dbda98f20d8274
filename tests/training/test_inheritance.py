"""A training that begins with another's weights for some of its nodes."""

import pytest
import torch

from mmspec.errors import UserError
from mmspec.training import Inheritance, Recipe, train
from mmspec.training.trainer import train_to

RECIPE = Recipe(steps=6, batch=16, evaluate_every=6, learning_rate=3e-3)
STILL = RECIPE.model_copy(
    update={"learning_rate": 1e-30, "weight_decay": 0.0, "steps": 1}
)  # weights stay what they begin as


@pytest.fixture
def parent(tiny, tmp_path):
    return train(tiny(), RECIPE, tmp_path / "parent")


def weights_of(result):
    return result.folder / "model.safetensors"


def test_it_begins_where_the_other_ended(tiny, parent):
    state = parent.module.state_dict()
    nodes = ("image", "text", "label")
    child = train(tiny("fusion.joint.depth=3"), STILL, begin=Inheritance(weights_of(parent), nodes))
    fresh = train(tiny("fusion.joint.depth=3"), STILL)
    for name, tensor in child.module.named_parameters():
        began = state[name] if name.startswith(nodes) else dict(fresh.module.named_parameters())[name]
        torch.testing.assert_close(tensor, began, rtol=0, atol=1e-12)
    assert any("began with them" in note for note in child.metrics["notes"])


def test_stopped_and_gone_on_it_is_the_same_run_and_no_other(tiny, parent, tmp_path):
    spec, begin = tiny(), Inheritance(weights_of(parent), ("image",))
    whole = train(spec, RECIPE, begin=begin)
    train_to(3, spec, RECIPE, tmp_path / "out", begin=begin)
    with pytest.raises(UserError, match="another spec or recipe: inherited was"):
        train(spec, RECIPE, tmp_path / "out", resume=True)
    again = train(spec, RECIPE, tmp_path / "out", resume=True, begin=begin)
    assert again.losses == whole.losses
    assert again.losses != train(spec, RECIPE).losses
    state = again.module.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in whole.module.state_dict().items())


def test_weights_that_are_not_there_stop_it_before_anything_is_written(tiny, tmp_path):
    with pytest.raises(UserError, match=r"weights to inherit cannot be read: .*gone"):
        train(tiny(), RECIPE, tmp_path / "out", begin=Inheritance(tmp_path / "gone", ("image",)))
    assert not (tmp_path / "out").exists()
