"""Outputs of frozen encoders are computed once, and training with them is training without."""

import numpy as np
import pytest
import torch

from mmspec.training import Recipe, train
from mmspec.training import features as kept
from mmspec.training.trainer import train_to

RECIPE = Recipe(steps=6, batch=16, evaluate_every=3, learning_rate=3e-3, augment=0.0)
FROZEN = "encoders.image.frozen=true"


@pytest.fixture
def computed(monkeypatch):
    """Samples that encoders computed, one number for each training."""
    counts = []
    write = kept.Remembering.write

    def count(self):
        counts.append(self.computed)
        write(self)

    monkeypatch.setattr(kept.Remembering, "write", count)
    return counts


def test_the_trained_model_is_the_one_without(tiny, tmp_path, computed):
    spec = tiny(FROZEN)
    plain, first, again = train(spec, RECIPE), *(train(spec, RECIPE, features=tmp_path) for _ in range(2))
    assert computed[0] > 0
    assert computed[1] == 0
    for other in (first, again):
        assert other.losses == pytest.approx(plain.losses, abs=1e-5)
        assert other.accuracy == plain.accuracy
        assert other.metrics["test"]["accuracy"] == plain.metrics["test"]["accuracy"]
        for name, tensor in plain.module.state_dict().items():
            torch.testing.assert_close(other.module.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)
    assert first.losses == again.losses
    image = torch.randn(2, *(spec.inputs["image"].channels, spec.inputs["image"].size, spec.inputs["image"].size))
    assert torch.equal(first.module.image(image), plain.module.image(image))  # it computes as ever afterwards


def test_other_weights_are_another_encoder(tiny, tmp_path, computed):
    for seed in (0, 1):
        train(tiny(FROZEN), RECIPE.model_copy(update={"seed": seed}), features=tmp_path)
    assert computed[1] > 0
    assert len(list(tmp_path.iterdir())) == 2


def test_what_follows_the_encoder_may_change(tiny, tmp_path, computed):
    train(tiny(FROZEN), RECIPE, features=tmp_path)
    train(tiny(FROZEN, "fusion.joint.depth=2"), RECIPE, features=tmp_path)
    assert computed[1] == 0


def test_texts_are_kept_by_their_lengths_even_where_pictures_vary(tiny, tmp_path, computed):
    spec = tiny("encoders.text.frozen=true")
    varied = RECIPE.model_copy(update={"augment": 1.0})
    plain, shared = train(spec, varied), train(spec, varied, features=tmp_path)
    assert computed[0] > 0
    assert shared.losses == pytest.approx(plain.losses, abs=1e-5)
    assert shared.accuracy == plain.accuracy


def test_a_training_that_stops_on_the_way_shares_too(tiny, tmp_path, computed):
    spec = tiny(FROZEN)
    train_to(3, spec, RECIPE, tmp_path / "out", features=tmp_path / "features")
    whole = train(spec, RECIPE, tmp_path / "out", resume=True, features=tmp_path / "features")
    assert whole.losses == train(spec, RECIPE, features=tmp_path / "features").losses


@pytest.mark.parametrize(
    ("said", "change", "reason"),
    [
        ((), {"augment": 1.0}, "varies from step to step"),
        ((), {"precision": "bf16-autocast"}, "computes in bf16-autocast"),
        (("encoders.image.dropout=0.1",), {}, "has dropout"),
    ],
)
def test_what_is_not_always_the_same_is_computed_as_ever_and_the_reason_is_noted(tiny, tmp_path, said, change, reason):
    spec, recipe = tiny(FROZEN, *said), RECIPE.model_copy(update=change)
    shared = train(spec, recipe, features=tmp_path / "features")
    assert any("image is frozen" in note and reason in note for note in shared.metrics["notes"])
    assert shared.losses == train(spec, recipe).losses
    assert not (tmp_path / "features").exists()


def test_an_encoder_whose_samples_see_one_another_is_found_out():
    class Centred(torch.nn.Module):
        def forward(self, x):
            return x - x.mean(dim=0)

    class Noisy(torch.nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x) if self.training else x

    x = torch.randn(16, 3)
    assert "depends on the others" in kept._unsteady(Centred(), (x,))
    assert "random in training" in kept._unsteady(Noisy(), (x,))
    assert kept._unsteady(torch.nn.Identity(), (x,)) == ""
    assert "trained elsewhere" in kept._unsteady(torch.nn.Linear(3, 3), (x,))


def test_a_torn_file_is_computed_again(tiny, tmp_path, computed):
    train(tiny(FROZEN), RECIPE, features=tmp_path)
    for file in tmp_path.rglob("*.npy"):
        if "keys" not in file.name:
            file.write_bytes(file.read_bytes()[:100])
    train(tiny(FROZEN), RECIPE, features=tmp_path)
    assert computed[1] == computed[0]


def test_what_would_fill_the_memory_is_written_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MOST_HELD", 1000)
    layer = torch.nn.Linear(4, 100).requires_grad_(False)
    remembering = kept.Remembering(layer, tmp_path)
    x = torch.randn(8, 4)
    assert torch.equal(remembering(x), layer(x))
    assert torch.equal(remembering(x), layer(x))
    assert (remembering.computed, remembering.answered) == (8, 8)
    (rows,) = [np.load(file) for file in tmp_path.rglob("*.npy") if "keys" not in file.name]
    assert rows.shape == (8, 100)
