"""What may be said of a transformer's blocks, each against the formula by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from influence import entering, influence
from reference import Weights, gelu, layer_norm, linear
from tiny_models import assert_agree, built, example, masks, spec
from torch import Tensor, nn

import mmspec

Norm = Callable[[Weights, Tensor], Tensor]


def encoder(options: str = "", name: str = "text") -> nn.Module:
    kind = "vit, patch_size: 4" if name == "image" else "text_transformer"
    text = f"{{type: {kind}, width: 24, depth: 2, heads: 4, {options}}}"
    return built(spec(streams=[name], encoders={name: text}, outputs=[name]))


def rms_norm(w: Weights, x: Tensor, eps: float = 1e-5) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * w["weight"]


def attention(
    w: Weights,
    x: Tensor,
    present: Tensor,
    heads: int = 4,
    kv_heads: int = 4,
    scale: float | None = None,
    causal: bool = False,
    biased: tuple[str, ...] = ("query", "key", "value", "output"),
) -> Tensor:
    """One query at a time, one head at a time."""
    q, k, v = (linear(w.at(name), x, bias=name in biased) for name in ("query", "key", "value"))
    width = q.shape[-1] // heads
    out = torch.zeros_like(q)
    for head in range(heads):
        own, shared = head * width, head // (heads // kv_heads) * width
        for b in range(len(x)):
            for n in range(x.shape[1]):
                seen = [m for m in range(x.shape[1]) if present[b, m] and (m <= n or not causal)]
                if not seen:
                    continue
                scores = k[b, seen, shared : shared + width] @ q[b, n, own : own + width]
                weights = (scores * (width**-0.5 if scale is None else scale)).softmax(0)
                out[b, n, own : own + width] = weights @ v[b, seen, shared : shared + width]
    return linear(w.at("output"), out, bias="output" in biased)


def network(w: Weights, x: Tensor, bias: bool = True) -> Tensor:
    return linear(w.at("down"), gelu(linear(w.at("up"), x, bias)), bias)


def compare(
    options: str,
    order: str = "pre",
    norm: Norm = layer_norm,
    mix: Callable[[Weights, Tensor], Tensor] = network,
    scaled: bool = False,
    final: bool = True,
    **attends: object,
) -> None:
    model, inputs = encoder(options), example(["text"])
    present = masks(inputs)["text"]
    found, root = model(**inputs)["text"], Weights.of(model)
    w = root.at("text")
    x = w["embedding"][inputs["text"]] + w["position"]
    if "embedding_norm: true" in options:
        x = norm(w.at("embedding_norm"), x)
    for i in range(2):
        b = w.at(f"blocks.{i}")
        for number, branch in (
            ("1", lambda y, b=b: attention(b.at("attention"), y, present, **attends)),
            ("2", lambda y, b=b: mix(b.at("feed_forward"), y)),
        ):
            y = branch(x if order == "post" else norm(b.at(f"norm{number}"), x))
            if order == "sandwich":
                y = norm(b.at(f"norm{number}_after"), y)
            x = x + (y * b[f"scale{number}"] if scaled else y)
            if order == "post":
                x = norm(b.at(f"norm{number}"), x)
    if final:
        x = norm(w.at("norm"), x)
    assert_agree(found[present], x[present])
    assert w.unread() == [], "the model has parameters that its formula does not know"


@pytest.mark.parametrize("order", ["pre", "post", "sandwich"])
def test_norms_stand_before_the_sublayers_after_the_sum_or_on_both_sides(order: str) -> None:
    compare(f"norm_order: {order}", order)


def test_rms_norms_have_no_mean_and_no_bias() -> None:
    compare("norm: rms", norm=rms_norm)


def test_norms_may_stand_at_the_embedding_and_need_not_stand_at_the_end() -> None:
    compare("embedding_norm: true, final_norm: false, norm_order: post", "post", final=False)


def test_a_layer_scale_multiplies_what_each_sublayer_adds() -> None:
    compare("layer_scale: 0.1", scaled=True)
    fresh = spec(streams=["text"], encoders={"text": "{type: text_transformer, width: 24, heads: 4, layer_scale: 0.1}"})
    assert mmspec.build(fresh).text.blocks[3].scale2.eq(0.1).all()


def test_a_gated_network_multiplies_two_projections() -> None:
    def swiglu(w: Weights, x: Tensor) -> Tensor:
        gate = linear(w.at("gate"), x, bias=False)
        return linear(w.at("down"), gate / (1 + torch.exp(-gate)) * linear(w.at("up"), x, bias=False), bias=False)

    compare("gated: true, activation: silu, bias: false, hidden: 20", mix=swiglu, biased=())


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        ("relu", lambda x: x.clamp(min=0)),
        ("gelu", lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2),
        ("gelu_tanh", lambda x: x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
        ("quick_gelu", lambda x: x / (1 + torch.exp(-1.702 * x))),
        ("silu", lambda x: x / (1 + torch.exp(-x))),
    ],
)
def test_activations_are_their_formulas(activation: str, formula: Callable[[Tensor], Tensor]) -> None:
    compare(f"activation: {activation}", mix=lambda w, x: linear(w.at("down"), formula(linear(w.at("up"), x))))


# attention --------------------------------------------------------------------------------------------------------------


def test_key_heads_are_shared_by_groups_of_query_heads() -> None:
    compare("kv_heads: 2", kv_heads=2)
    compare("kv_heads: 1, attention: causal", kv_heads=1, causal=True)


def test_the_scores_are_scaled_as_the_spec_says() -> None:
    compare("attention_scale: 1.5", scale=1.5)
    compare("attention_scale: 0.1, attention: causal", scale=0.1, causal=True)


@pytest.mark.parametrize(
    "options", ["", "head_width: 10", "kv_heads: 2, position: rotary", "position: relative_buckets"]
)
def test_a_fresh_network_computes_the_same_whatever_its_scores_are_scaled_by(options: str) -> None:
    """T5, whose scores are not scaled, draws smaller queries (mesh-tensorflow's attention_params)."""

    def answer(scale: str = "") -> Tensor:
        torch.manual_seed(0)
        text = f"{{type: text_transformer, width: 24, depth: 2, heads: 4, bias: false, {scale}{options}}}"
        fresh = mmspec.build(spec(streams=["text"], encoders={"text": text}, outputs=["text"])).eval()
        return fresh(**example(["text"]))["text"].detach()

    usual = answer()
    for scale in (1.0, 0.03):
        assert_agree(answer(f"attention_scale: {scale}, "), usual)


def test_heads_may_be_of_any_width() -> None:
    compare("head_width: 10")
    assert encoder("head_width: 10").text.blocks[0].attention.query.weight.shape == (40, 24)


def test_each_projection_has_a_bias_where_the_spec_says_so() -> None:
    compare("key_bias: false", biased=("query", "value", "output"))
    compare("qkv_bias: false", biased=("output",))
    compare("qkv_bias: false, key_bias: true", biased=("key", "output"))
    compare("bias: false, qkv_bias: true", biased=("query", "key", "value"), mix=lambda w, x: network(w, x, bias=False))


@pytest.mark.parametrize("options", ["", ", kv_heads: 2", ", position: {type: relative_buckets, buckets: 8}"])
def test_the_future_has_no_influence_on_a_causal_stack(options: str) -> None:
    inputs = {"text": torch.randint(1, 11, (2, 6), generator=torch.Generator().manual_seed(1))}
    outputs, embedded = entering(encoder(f"attention: causal{options}"), inputs, "text.blocks.0")
    past = torch.ones(6, 6, dtype=torch.bool).tril().expand(2, -1, -1)
    assert influence(outputs["text"], embedded).equal(past)


def test_a_causal_stack_sees_no_padding_in_front_of_its_text() -> None:
    inputs = {"text": torch.tensor([[3, 5, 2, 7, 4, 1]]), "text_mask": torch.tensor([[0, 0, 1, 1, 0, 1]]).bool()}
    outputs, embedded = entering(encoder("attention: causal"), inputs, "text.blocks.0")
    seen = torch.ones(6, 6, dtype=torch.bool).tril() & inputs["text_mask"] | torch.eye(6, dtype=torch.bool)
    assert influence(outputs["text"], embedded)[0].equal(seen)
    assert torch.isfinite(outputs["text"]).all(), "a token that may look at nothing gets zeros"


# tokens in front --------------------------------------------------------------------------------------------------------


def test_class_distillation_and_register_tokens_stand_in_front_in_this_order() -> None:
    options = "class_token: true, distillation_token: true, registers: 2, final_norm: false"
    text = f"{{type: vit, patch_size: 4, width: 24, depth: 1, heads: 4, {options}}}"
    ports = ["image", "image.class", "image.distillation", "image.patches"]
    model, inputs = built(spec(streams=["image"], encoders={"image": text}, outputs=ports)), example(["image"])
    outputs, entered = entering(model, inputs, "image.blocks.0")
    image = model.image
    assert entered.shape == (4, 2 + 2 + 9, 24)
    assert_agree(entered[1, 0], image.class_token[0] + image.position[0])
    assert_agree(entered[1, 1], image.distillation_token[0] + image.position[1])
    assert entered[1, 2:4].equal(image.registers), "registers have no positions"
    assert image.position.shape == (11, 24)
    patch = linear_patch(image, inputs["image"][1, :, :4, 4:8])
    assert_agree(entered[1, 5], patch + image.position[3])
    for port, tokens in (("class", 0), ("distillation", 1), ("patches", slice(4, None))):
        assert outputs[f"image.{port}"].equal(outputs["image"][:, tokens])


def linear_patch(image: nn.Module, pixels: Tensor) -> Tensor:
    return image.patches.weight.flatten(1) @ pixels.flatten() + image.patches.bias
