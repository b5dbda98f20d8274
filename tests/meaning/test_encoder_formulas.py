"""vit and text_transformer against their formulas, and what positions are for."""

from typing import Any

import pytest
import torch
from influence import entering, influence, itself, whom
from reference import Mix, Weights, feed_forward, text_transformer, top_k, vit
from tiny_models import HEAD, assert_agree, built, example, masks, spec
from torch import Tensor

BOTH = {"a": f"{HEAD[:-1]}, from: image}}", "b": f"{HEAD[:-1]}, from: text}}"}


def encoders(image: str = "", text: str = "") -> Any:
    """A model of the two encoders with these options, and nothing that brings them together."""
    options = {
        "image": f"{{type: vit, patch_size: 4, width: 16, depth: 2, heads: 4, expansion: 1.5{image}}}",
        "text": f"{{type: text_transformer, width: 24, depth: 2, heads: 2{text}}}",
    }
    return spec(heads=BOTH, encoders=options, outputs=["image", "text"])


def compare(
    options: str,
    image_position: str = "learned",
    text_position: str = "learned",
    eps: float = 1e-5,
    mix: Mix = feed_forward,
    precisely: float = 1e-9,
) -> None:
    model = built(encoders(f"{options}, position: {image_position}", f"{options}, position: {text_position}"))
    for dtype, tolerance in ((torch.float32, 2e-5), (torch.float64, precisely)):
        model, inputs = model.to(dtype), example(dtype=dtype)
        found, w = model(**inputs), Weights.of(model)
        image = vit(w.at("image"), inputs["image"].double(), 4, 4, eps, image_position, mix)
        text = text_transformer(w.at("text"), inputs["text"], inputs["text"] != 0, 2, eps, text_position, mix)
        assert_agree(found["image"], image, tolerance)
        there = inputs["text"] != 0
        assert_agree(found["text"][there], text[there], tolerance)
        unknown = [name for part in ("image", "text") for name in w.at(part).unread() if ".experts." not in name]
        assert unknown == [], "the model has parameters that its formula does not know"


@pytest.mark.parametrize(("image", "text"), [("learned", "learned"), ("learned_2d", "none"), ("none", "learned")])
def test_encoders_compute_the_formula_that_they_cite(image: str, text: str) -> None:
    compare("", image, text)


def test_norm_eps_is_the_epsilon_of_every_norm() -> None:
    compare(", norm_eps: 0.5", eps=0.5)


def test_experts_stand_where_an_encoders_feed_forward_stood() -> None:
    compare(", router: {type: top_k, experts: 3, k: 1}", mix=top_k(1), precisely=1e-5)


def test_a_text_by_its_ids_alone_is_present_where_it_is_not_padding() -> None:
    inputs, model = example(), built(encoders())
    said = inputs | {"text_mask": inputs["text"] != 0}
    assert model(**said)["b"].equal(model(**inputs)["b"])


def test_padding_is_the_id_that_the_input_calls_so() -> None:
    inputs = example()
    padded = inputs | {"text": torch.where(inputs["text"] == 0, 3, inputs["text"])}
    model = built(spec(heads=BOTH, inputs={"text": "{type: text, vocab_size: 11, length: 6, pad: 3}"}))
    said = padded | {"text_mask": padded["text"] != 3}
    assert model(**padded)["b"].equal(model(**said)["b"])
    assert not model(**padded)["b"].equal(model(**padded | {"text_mask": torch.ones_like(said["text_mask"])})["b"])


def patches(image: Tensor, order: Tensor) -> Tensor:
    """The image with its nine patches in another order."""
    pieces = image.unflatten(2, (3, 4)).unflatten(4, (3, 4)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)[:, order]
    return pieces.unflatten(1, (3, 3)).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


def moved_by(position: str, order: Tensor) -> tuple[Tensor, Tensor]:
    """What comes of an image whose patches were put in that order, and the tokens of the original put in that order."""
    model, inputs = built(encoders(image=f", position: {position}")), example()
    assert patches(inputs["image"], torch.arange(9)).equal(inputs["image"])
    before, after = (
        model(**inputs | {"image": patches(inputs["image"], o)})["image"] for o in (torch.arange(9), order)
    )
    return after, before[:, order]


SHUFFLED = torch.tensor([4, 0, 8, 2, 6, 1, 3, 5, 7])  # none stays where it was


def test_without_positions_a_vits_tokens_move_with_their_patches() -> None:
    assert_agree(*moved_by("none", SHUFFLED))


@pytest.mark.parametrize("position", ["learned", "learned_2d"])
def test_with_positions_a_vits_tokens_depend_on_where_their_patches_are(position: str) -> None:
    after, before = moved_by(position, SHUFFLED)
    assert ((after - before).abs().amax(-1) > 0.01).all()


@pytest.mark.parametrize("position", ["none", "learned"])
def test_words_are_a_set_without_positions_and_a_sequence_with_them(position: str) -> None:
    model, inputs = built(encoders(text=f", position: {position}")), example()
    order = torch.tensor([3, 5, 0, 4, 1, 2])
    there = inputs["text"] != 0
    before = model(**inputs)["text"][:, order][there[:, order]]
    after = model(**inputs | {"text": inputs["text"][:, order]})["text"][there[:, order]]
    if position == "none":
        assert_agree(after, before)
    else:
        assert (after - before).abs().max() > 0.01


def test_every_patch_sees_every_patch_and_every_word_the_words_that_are_there() -> None:
    inputs = example()
    outputs, embedded = entering(built(encoders()), inputs, "text.blocks.0")
    words = influence(outputs["text"], embedded)
    assert words.equal(whom(masks(inputs)["text"], 6) | itself(4, 6))

    pixels = inputs["image"].requires_grad_()
    image = built(encoders())(**inputs)["image"]
    for token in range(9):
        (gradient,) = torch.autograd.grad(
            image[:, token] @ torch.ones(16).cumsum(0), pixels, torch.ones(4), retain_graph=True
        )
        assert (gradient != 0).all()
