"""Embeddings, temperature and the losses of pairs, against the papers' formulas written out in loops."""

import math

import pytest
import torch
from torch import Tensor

import mmspec
from mmspec.backend import build_objectives
from mmspec.backend.runtime import info_nce, pairwise_sigmoid
from mmspec.components import CATALOGUE
from mmspec.spec import ModelSpec, SpecError, read
from mmspec.training.optimizer import decayed_parameters

LOSSES = {"info_nce": info_nce, "sigmoid": pairwise_sigmoid}


def spec(similarity: str = "", objective: str = "type: info_nce", projection: str = "") -> ModelSpec:
    return read(
        f"""
        name: pairs
        inputs: {{image: {{type: image, size: 8}}, text: {{type: text, vocab_size: 20, length: 5}}}}
        encoders:
          image: {{type: vit, patch_size: 4, width: 8, depth: 1, heads: 2}}
          text: {{type: text_transformer, width: 12, depth: 1, heads: 2}}
        heads:
          a: {{type: projection, from: image, width: 6{projection}}}
          b: {{type: projection, from: text, width: 6}}
          similarity: {{type: contrastive, from: [a, b]{similarity}}}
        objectives: [{{{objective}, head: similarity}}]
        """,
        CATALOGUE,
    )


def inputs(count: int = 4, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(count, 3, 8, 8, generator=generator).to(dtype),
        "text": torch.randint(1, 20, (count, 5), generator=generator),
    }


def by_hand(name: str, logits: Tensor, ids: list[int]) -> Tensor:
    """The losses as the papers write them: a sum over all pairs, one by one."""
    count = len(ids)
    total = torch.zeros((), dtype=logits.dtype)
    for i in range(count):
        alike = [j for j in range(count) if ids[j] == ids[i]]
        for j in range(count):
            if name == "sigmoid":
                sign = 1 if j in alike else -1
                total = total + torch.log1p(torch.exp(-sign * logits[i, j])) / count
            elif j in alike:
                row = logits[i, j].exp() / logits[i].exp().sum()
                column = logits[j, i].exp() / logits[:, i].exp().sum()
                total = total - (row.log() + column.log()) / (2 * count * len(alike))
    return total


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("ids", [[0, 1, 2, 3], [0, 1, 0, 2], [5, 5, 5, 5]], ids=["apart", "some alike", "all alike"])
def test_a_loss_of_pairs_and_its_gradient_are_the_papers(name: str, ids: list[int]) -> None:
    logits = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    found = LOSSES[name](logits, torch.tensor(ids))
    wanted = by_hand(name, logits, ids)
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (found, wanted)]
    torch.testing.assert_close(*gradients)
    if ids == [0, 1, 2, 3]:
        torch.testing.assert_close(LOSSES[name](logits), found)


@pytest.mark.parametrize("name", LOSSES)
def test_huge_logits_have_finite_losses_and_gradients(name: str) -> None:
    """Where float32 would overflow in an exponential: sure and right costs nothing, sure and wrong the logit itself."""
    for scale, cost in ((1e4, 0.0), (-1e4, 1e4 if name == "info_nce" else 4e4)):
        logits = (
            (scale * (2 * torch.eye(4) - 1)).requires_grad_()
            if name == "sigmoid"
            else (scale * torch.eye(4)).requires_grad_()
        )
        loss = LOSSES[name](logits)
        assert float(loss.detach()) == pytest.approx(
            cost, abs=1.2
        )  # ln 3 for three wrong answers that are equally sure
        loss.backward()
        assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_a_batch_of_one_has_nothing_to_be_told_from() -> None:
    assert float(info_nce(torch.tensor([[-3.0]]))) == 0


def test_logits_are_cosines_times_the_learnt_factor_with_images_as_rows() -> None:
    model = mmspec.build(spec(", bias: -10")).eval()
    with torch.no_grad():
        out = model(**inputs())
    for name in ("a", "b"):
        torch.testing.assert_close(out[name].norm(dim=1), torch.ones(4))
    for i in range(4):
        for j in range(4):
            cosine = float(out["a"][i] @ out["b"][j])
            assert float(out["similarity"][i, j]) == pytest.approx(cosine / 0.07 - 10, abs=1e-4)


def test_the_loss_of_a_model_is_that_of_its_logits() -> None:
    for name in LOSSES:
        model_spec = spec(objective=f"type: {name}, target: same, weight: 0.5")
        model = mmspec.build(model_spec).train()
        out, ids = model(**inputs()), torch.tensor([0, 1, 0, 2])
        found = build_objectives(model_spec)(out, {"same": ids})["total"]
        torch.testing.assert_close(found, 0.5 * by_hand(name, out["similarity"], ids.tolist()))


def test_the_temperature_starts_where_it_is_told_to_and_is_learnt_but_never_decays() -> None:
    model = mmspec.build(spec(", temperature: 0.1"))
    assert float(model.similarity.scale) == pytest.approx(math.log(10))
    assert "similarity.scale" in dict(model.named_parameters())
    assert "similarity.scale" not in decayed_parameters(model)


def test_training_cuts_the_factor_back_to_its_limit_and_lets_it_fall_again() -> None:
    """Where the factor is past the limit: the same loss as at the limit, the parameter itself at the limit, and a gradient that
    a clamp of the value would have lost."""
    model_spec = spec(", limit: 100")
    model = mmspec.build(model_spec).train()
    losses = build_objectives(model_spec)
    at_limit = math.log(100)
    with torch.no_grad():
        model.similarity.scale.fill_(at_limit)
    expected = losses(model(**inputs()), {})["total"]
    (wanted,) = torch.autograd.grad(expected, model.similarity.scale)
    with torch.no_grad():
        model.similarity.scale.fill_(7.0)
    found = losses(model(**inputs()), {})["total"]
    found.backward()
    assert float(found) == float(expected)
    assert float(model.similarity.scale) == pytest.approx(at_limit)
    assert torch.equal(model.similarity.scale.grad, wanted) and wanted.abs() > 1e-3


def test_at_inference_the_factor_is_limited_and_the_parameter_left_alone() -> None:
    model = mmspec.build(spec()).eval()
    with torch.no_grad():
        model.similarity.scale.fill_(7.0)
        past = model(**inputs())["similarity"]
        assert float(model.similarity.scale) == 7
        model.similarity.scale.fill_(math.log(100))
        torch.testing.assert_close(past, model(**inputs())["similarity"])


def test_without_a_limit_it_grows_as_far_as_it_likes() -> None:
    model = mmspec.build(spec(", limit: null")).train()
    with torch.no_grad():
        model.similarity.scale.fill_(7.0)
    out = model(**inputs())
    torch.testing.assert_close(out["similarity"], out["a"] @ out["b"].T * math.exp(7), rtol=1e-4, atol=1e-3)


def test_a_projection_norms_what_was_pooled_and_may_leave_its_length() -> None:
    model = mmspec.build(spec(projection=", norm: layer, bias: true, normalise: false, pool: first")).eval()
    with torch.no_grad():
        for parameter in model.a.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
        given = inputs()
        first = model.image(given["image"])[:, 0]
        normed = torch.nn.functional.layer_norm(first, (8,), model.a.norm.weight, model.a.norm.bias)
        torch.testing.assert_close(model(**given)["a"], normed @ model.a.output.weight.T + model.a.output.bias)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("from: [a, b]", "from: [a, text]"), "a contrastive head compares vectors, and text is tokens"),
        (("from: [a, b]", "from: a"), "a contrastive head compares two embeddings, and here are 1"),
        (("from: text, width: 6", "from: text, width: 7"), "a has 6 channels, b 7"),
        (("head: similarity", "head: a"), "a does not compare a batch with itself"),
    ],
)
def test_what_cannot_be_compared_is_refused(change: tuple[str, str], message: str) -> None:
    text = """
        name: pairs
        inputs: {image: {type: image, size: 8}, text: {type: text, vocab_size: 20, length: 5}}
        encoders:
          image: {type: vit, patch_size: 4, width: 8, depth: 1, heads: 2}
          text: {type: text_transformer, width: 12, depth: 1, heads: 2}
        heads:
          a: {type: projection, from: image, width: 6}
          b: {type: projection, from: text, width: 6}
          similarity: {type: contrastive, from: [a, b]}
        objectives: [{type: info_nce, head: similarity}]
        """
    assert change[0] in text
    with pytest.raises(SpecError) as found:
        build_objectives(read(text.replace(*change), CATALOGUE))
    assert message in str(found.value)
