"""Routers by their papers' formulas, token by token in double precision, on layers taken out of a model. Weights are drawn anew."""

import math

import pytest
import torch
from reference import Weights, attention, feed_forward, likeliest, linear
from test_top_k_routing import EXPERTS, MASK, favour, tokens
from tiny_models import assert_agree, built, example, spec
from torch import Tensor, nn

PRESENT = torch.ones_like(MASK)
BATCH, LENGTH = MASK.shape


def layer(
    router: str, seed: int = 0, fusion: str = "type: concat, depth: 1, expansion: 1", **said: object
) -> nn.Module:
    return built(spec(f"{fusion}, router: {{{router}}}", **said), seed).joint.blocks[0].feed_forward


def scored(module: nn.Module, x: Tensor) -> tuple[Weights, Tensor]:
    """Its weights, and the probabilities of its experts.   [B, N, D] -> [B, N, E]"""
    w = Weights.of(module)
    return w, linear(w.at("router"), x.double(), bias=False).softmax(-1)


def answer(w: Weights, expert: int, token: Tensor) -> Tensor:
    return feed_forward(w.at(f"experts.{expert}"), token.double())


# soft -------------------------------------------------------------------------------------------------------------------


def test_soft_experts_all_answer_weighed_by_their_probabilities() -> None:
    module, x = layer(f"type: soft, experts: {EXPERTS}"), tokens()
    w, p = scored(module, x)
    expected = sum(p[..., e, None] * answer(w, e, x) for e in range(EXPERTS))
    assert_agree(module(x), expected)


# top-p ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("least", [0.6, 0.95])
def test_a_token_meets_experts_until_they_are_likely_enough_together(least: float) -> None:
    module, x = layer(f"type: top_p, experts: {EXPERTS}, p: {least}, balance: 0.0"), tokens()
    module.router.weight.data.mul_(3)  # routers of all degrees of certainty
    w, p = scored(module, x)
    expected, numbers = torch.zeros_like(x, dtype=torch.float64), set()
    for b in range(BATCH):
        for n in range(LENGTH):
            chosen: list[int] = []
            for e in likeliest(p[b, n], EXPERTS):
                if sum(p[b, n, c] for c in chosen) > least:
                    break
                chosen.append(e)
            total = sum(p[b, n, c] for c in chosen)
            expected[b, n] = sum(p[b, n, e] / total * answer(w, e, x[b, n]) for e in chosen)
            numbers.add(len(chosen))
    assert_agree(module(x), expected)
    assert len(numbers) > 1, "some tokens need more experts than others"


def test_a_sample_meets_as_many_heads_as_it_needs_and_no_other_is_computed() -> None:
    """Attention sublayers of one head each, behind a router of samples."""
    said = "type: gated, heads: 1, depth: 1, expansion: 1, attention_router: {type: top_p, experts: 4, p: 0.6, balance: 0.0}"
    model, inputs = built(spec(said)), example(batch=12)
    block = model.joint.blocks[0].self_attention
    block.router.weight.data.mul_(3)
    rows: dict[int, int] = {}
    for number, head in enumerate(block.experts):
        head.register_forward_pre_hook(lambda _, args, number=number: rows.update({number: len(args[0])}))
    chosen: list[Tensor] = []
    block.experts.register_forward_pre_hook(lambda _, args: chosen.append(args[0]))
    model(**inputs)
    heads = [int((row < 4).sum()) for row in chosen[0]]
    assert len(set(heads)) > 1, "some samples need more heads than others"
    assert rows == {e: int((chosen[0] == e).sum()) for e in range(4) if (chosen[0] == e).any()}
    assert sum(rows.values()) == sum(heads)


# top-k: shared experts, modalities, noise, capacity ---------------------------------------------------------------------


def test_shared_experts_answer_every_token_unweighed() -> None:
    module, x = layer(f"type: top_k, experts: {EXPERTS}, k: 2, shared: 2, normalise: false, balance: 0.0"), tokens()
    w, p = scored(module, x)
    expected = sum(feed_forward(w.at(f"shared_{i}"), x.double()) for i in range(2))
    for b in range(BATCH):
        for n in range(LENGTH):
            for e in likeliest(p[b, n], 2):
                expected[b, n] += p[b, n, e] * answer(w, e, x[b, n])
    assert_agree(module(x), expected)


@pytest.mark.parametrize("seen", ["modality", "both"])
def test_a_router_may_look_at_the_modality_of_a_token(seen: str) -> None:
    """Nine tokens of an image, then a text."""
    module, x = (
        layer(f"type: top_k, experts: {EXPERTS}, k: 1, normalise: false, balance: 0.0, input: {seen}"),
        tokens(3, 14),
    )
    w = Weights.of(module)
    scores = w["modality"][[0] * 9 + [1] * 5].expand(3, -1, -1)
    p = (scores + linear(w.at("router"), x.double(), bias=False) if seen == "both" else scores).softmax(-1)
    expected = torch.zeros_like(x, dtype=torch.float64)
    for b in range(3):
        for n in range(14):
            (e,) = likeliest(p[b, n], 1)
            expected[b, n] = p[b, n, e] * answer(w, e, x[b, n])
    assert_agree(module(x), expected)


def test_noise_is_normal_of_a_trained_size_and_there_in_training_only() -> None:
    module, x = layer(f"type: top_k, experts: {EXPERTS}, k: 2, noise: true, balance: 0.0"), tokens()
    assert torch.equal(module(x), module(x))
    module.train()
    logits, spread = torch.zeros(200_000, 1), torch.full((200_000, 1), 0.7)
    drawn = module.noise(logits, spread)
    assert abs(drawn.mean()) < 0.02
    assert drawn.std().item() == pytest.approx(math.log1p(math.exp(0.7)), rel=0.01)
    module(x).square().sum().backward()
    assert module.spread.weight.grad.any(), "its size is trained"


def test_jitter_is_a_factor_near_one_in_training_only() -> None:
    module, x = layer(f"type: switch, experts: {EXPERTS}, jitter: 0.1, balance: 0.0"), tokens()
    assert torch.equal(module(x), module(x))
    module.jitter.train()
    factors = module.jitter(torch.ones(100_000))
    assert 0.9 <= factors.min() < 0.901 and 1.099 < factors.max() <= 1.1
    assert factors.mean().item() == pytest.approx(1, abs=1e-3)


def test_a_capacity_factor_is_of_the_longest_sequence() -> None:
    """Nine and at most six tokens, two choices each: ceil(1.1 * 30 / 4) = 9 choices for an expert, the first."""
    module, x = layer(f"type: top_k, experts: {EXPERTS}, k: 2, capacity_factor: 1.1, balance: 0.0"), tokens(2, 15)
    x[:, :, 0] = 1
    favour(module, 9.0, 8.0, -9.0, -9.0)
    assert _met(module, x) == {0: 2 * 9, 1: 2 * 9}
    y = module(x)
    assert not y[:, 9:].any() and y[:, :9].abs().amin() > 0


def _met(module: nn.Module, x: Tensor) -> dict[int, int]:
    rows: dict[int, int] = {}
    handles = [
        expert.register_forward_pre_hook(lambda m, args, e=e: rows.update({e: len(args[0])}))
        for e, expert in enumerate(module.experts)
    ]
    module(x)
    for handle in handles:
        handle.remove()
    return rows


# losses -----------------------------------------------------------------------------------------------------------------


def loss_of(router: str, x: Tensor, mask: Tensor = MASK) -> tuple[Tensor, nn.Module]:
    module = layer(f"experts: {EXPERTS}, {router}").train()
    return module(x, mask)[1], module


def test_the_importance_loss_is_the_squared_variation_of_what_the_experts_weigh() -> None:
    x = tokens(seed=7)
    found, module = loss_of("type: top_k, k: 2, balance: 0.0, importance: 0.3", x)
    _, p = scored(module, x)
    importance = torch.zeros(EXPERTS, dtype=torch.float64)
    for chance in p[MASK]:
        best = likeliest(chance, 2)
        for e in best:
            importance[e] += chance[e] / sum(chance[i] for i in best)
    expected = 0.3 * importance.var(unbiased=False) / importance.mean() ** 2
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)


def test_the_z_loss_is_the_mean_square_of_logsumexp() -> None:
    x = tokens(seed=7)
    found, module = loss_of("type: switch, balance: 0.0, z_loss: 0.2", x)
    logits = linear(Weights.of(module).at("router"), x.double(), bias=False)
    expected = 0.2 * torch.stack([torch.log(torch.exp(row).sum()) ** 2 for row in logits[MASK]]).mean()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)


def test_the_diversity_loss_is_the_mean_squared_cosine_of_two_answers() -> None:
    x = tokens(seed=7)
    found, module = loss_of("type: top_k, k: 3, balance: 0.0, diversity: 0.5", x)
    w, p = scored(module, x)
    cosines = []
    for token, chance in zip(x[MASK], p[MASK], strict=True):
        said = [answer(w, e, token) for e in likeliest(chance, 3)]
        cosines += [
            (a @ b / (a.norm() * b.norm())) ** 2 for i, a in enumerate(said) for j, b in enumerate(said) if i != j
        ]
    torch.testing.assert_close(found.double(), 0.5 * torch.stack(cosines).mean(), rtol=1e-5, atol=0)
    for expert in module.experts:
        expert.load_state_dict(module.experts[0].state_dict())
    torch.testing.assert_close(module(x, MASK)[1], torch.tensor(0.5))


def test_losses_are_there_in_training_only_and_add_up() -> None:
    x, all_of_them = tokens(seed=7), "type: top_k, k: 2, balance: 0.1, importance: 0.3, z_loss: 0.2, diversity: 0.5"
    total, module = loss_of(all_of_them, x)
    apart = [
        loss_of(f"type: top_k, k: 2, balance: 0.0, {each}", x)[0]
        for each in ("importance: 0.3", "z_loss: 0.2", "diversity: 0.5")
    ]
    apart.append(loss_of("type: top_k, k: 2, balance: 0.1", x)[0])
    torch.testing.assert_close(total, sum(apart))
    assert module.eval()(x, MASK)[1] == 0


# switch: the next best --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1, 2, 5])
def test_who_finds_an_expert_full_goes_to_the_next_best_with_room(capacity: int) -> None:
    module = layer(f"type: switch, experts: 3, capacity: {capacity}, drop: next, balance: 0.0")
    x = tokens()
    w, p = scored(module, x)
    expected = torch.zeros_like(x, dtype=torch.float64)
    for b in range(BATCH):
        room, waiting = [capacity] * 3, list(range(LENGTH))
        for rank in range(3):
            for n in list(waiting):
                e = likeliest(p[b, n], 3)[rank]
                if room[e]:
                    room[e] -= 1
                    waiting.remove(n)
                    expected[b, n] = p[b, n, e] * answer(w, e, x[b, n])
        assert len(waiting) == max(0, LENGTH - 3 * capacity), "no place stays empty while a token waits"
    assert_agree(module(x), expected)


# expert choice ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 4.0])
def test_each_expert_takes_its_likeliest_tokens_of_those_that_are_present(factor: float) -> None:
    module, x = layer(f"type: expert_choice, experts: {EXPERTS}, capacity_factor: {factor}"), tokens()
    w, p = scored(module, x)
    expected = torch.zeros_like(x, dtype=torch.float64)
    for b in range(BATCH):
        present = [n for n in range(LENGTH) if MASK[b, n]]
        seats = math.ceil(factor * len(present) / EXPERTS)
        for e in range(EXPERTS):
            for n in sorted(present, key=lambda n, b=b, e=e: -p[b, n, e].item())[:seats]:
                expected[b, n] += p[b, n, e] * answer(w, e, x[b, n])
    assert_agree(module(x, MASK), expected)


def test_a_text_is_answered_by_experts_that_choose_alone_as_beside_padding() -> None:
    module, x = layer(f"type: expert_choice, experts: {EXPERTS}, capacity_factor: 2.0"), tokens(1, 5)
    padded = torch.cat([x, tokens(1, 4, seed=8)], dim=1)
    mask = torch.arange(9)[None] < 5
    y = module(padded, mask)
    assert_agree(y[:, :5], module(x, mask[:, :5]))
    assert not y[:, 5:].any(), "what is absent is never claimed"
    assert not module(x, torch.zeros(1, 5, dtype=torch.bool)).any()


# hard -------------------------------------------------------------------------------------------------------------------


def test_each_modality_has_its_own_feed_forward() -> None:
    module, x = layer("type: hard"), tokens(3, 14)
    w = Weights.of(module)
    assert_agree(module(x), torch.cat([answer(w, 0, x[:, :9]), answer(w, 1, x[:, 9:])], dim=1))


# task -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2])
def test_all_tokens_of_a_sample_go_where_its_task_says(k: int) -> None:
    module = layer(
        f"type: task, task: kind, experts: 4, k: {k}, balance: 0.0, embedding: 5",
        inputs={"kind": "{type: category, classes: 3}"},
    )
    x, kind = tokens(), torch.tensor([2, 0, 2])
    w = Weights.of(module)
    p = linear(w.at("router"), w["task"], bias=False).softmax(-1)
    expected = []
    for sample, task in zip(x, kind.tolist(), strict=True):
        best = likeliest(p[task], k)
        total = sum(p[task, i] for i in best) if k > 1 else 1
        expected.append(sum(p[task, e] / total * answer(w, e, sample) for e in best))
    assert_agree(module(x, kind), torch.stack(expected))


def test_a_single_expert_for_a_task_is_weighed_so_that_the_router_learns() -> None:
    module = layer(
        "type: task, task: kind, experts: 4, k: 1, balance: 0.0", inputs={"kind": "{type: category, classes: 3}"}
    )
    module(tokens(), torch.tensor([2, 0, 1])).square().sum().backward()
    assert module.router.weight.grad.abs().sum() > 0


# learned ----------------------------------------------------------------------------------------------------------------


def test_a_learned_route_is_the_likeliest_alone_and_unweighed_at_inference() -> None:
    module, x = layer(f"type: learned, experts: {EXPERTS}, balance: 0.0"), tokens()
    w, p = scored(module, x)
    expected = [
        torch.stack([answer(w, likeliest(c, 1)[0], t) for t, c in zip(*each, strict=True)])
        for each in zip(x, p, strict=True)
    ]
    assert_agree(module(x), torch.stack(expected))
    assert sum(_met(module, x).values()) == BATCH * LENGTH


def test_in_training_a_route_is_a_sample_and_its_gradient_that_of_the_soft_mixture() -> None:
    module, x = layer(f"type: learned, experts: {EXPERTS}, balance: 0.0, temperature: 0.7").train(), tokens()
    torch.manual_seed(3)
    y = module(x)
    direction = torch.randn_like(y)
    (y * direction).sum().backward()
    torch.manual_seed(3)
    drawn = -torch.empty(BATCH, LENGTH, EXPERTS).exponential_().log()
    w = Weights.of(module)
    p = ((linear(w.at("router"), x.double(), bias=False) + drawn.double()) / 0.7).softmax(-1)
    answers = torch.stack([answer(w, e, x) for e in range(EXPERTS)], dim=2)  # [B, N, E, D]
    hard = nn.functional.one_hot(p.argmax(-1), EXPERTS).double()
    assert_agree(y, torch.einsum("bne,bned->bnd", hard, answers))
    soft = torch.einsum("bne,bned->bnd", p, answers.detach())
    (soft * direction.double()).sum().backward()
    assert_agree(module.router.weight.grad, w["router.weight"].grad, 1e-4)


def test_routes_are_drawn_as_often_as_they_are_likely() -> None:
    module = layer("type: learned, experts: 2, balance: 0.0").train()
    favour(module, 1.0, 0.0)
    x = torch.zeros(1, 20_000, 16)
    x[:, :, 0] = 1.5
    p = module.gumbel(module.router(x)).softmax(-1)
    share = (p.argmax(-1) == 0).float().mean().item()
    assert share == pytest.approx(1 / (1 + math.exp(-1.5)), abs=0.01)


# precision --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["top_k", "switch", "soft", "expert_choice", "learned"])
def test_the_router_is_single_precision_whatever_is_around_it(kind: str) -> None:
    module, x = layer(f"type: {kind}, experts: {EXPERTS}"), tokens()
    logits = module.router(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(module.router(x), logits)
        assert module.experts[0](x).dtype == torch.bfloat16
    narrow = module.bfloat16()
    assert narrow.router.weight.dtype == torch.float32 and narrow.experts[0].up.weight.dtype == torch.bfloat16
    assert torch.equal(narrow.router(x), logits)


EVERY = ["top_k", "switch, capacity: 3", "soft", "expert_choice", "learned", "learned, method: reinforce", "hard"]


@pytest.mark.parametrize("router", EVERY)
def test_a_whole_model_runs_in_half_precision_around_its_routers(router: str) -> None:
    model = built(spec(f"type: concat, depth: 1, router: {{type: {router}}}"))
    inputs = example()
    for training in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.isfinite(model.train(training)(**inputs)["label"]).all()
    inputs["image"] = inputs["image"].bfloat16()
    assert torch.isfinite(model.bfloat16()(**inputs)["label"]).all()


# samples ----------------------------------------------------------------------------------------------------------------

ROUTED = "type: cross_attention, depth: 1, heads: 2, attention_router"


@pytest.mark.parametrize("k", [1, 2])
def test_a_sample_meets_the_attention_sublayers_that_its_pooled_tokens_choose(k: int) -> None:
    model = built(spec(f"{ROUTED}: {{type: top_k, experts: 3, k: {k}, balance: 0.0}}"))
    own, x = model.joint.blocks[0].self_attention, tokens(4, 9)
    w = Weights.of(own)
    p = linear(w.at("router"), x.double().mean(1), bias=False).softmax(-1)
    expected = []
    for sample, chance in zip(x.double(), p, strict=True):
        best = likeliest(chance, k)
        seen = [attention(w.at(f"experts.{e}.attention"), sample[None], sample[None], None, 2)[0] for e in best]
        expected.append(sum(chance[e] * y for e, y in zip(best, seen, strict=True)) / sum(chance[e] for e in best))
    assert_agree(own(x), torch.stack(expected))
    rows: list[int] = []
    for expert in own.experts:
        expert.register_forward_pre_hook(lambda m, args: rows.append(len(args[0])))
    own(x)
    assert sum(rows) == 4 * k, "a sublayer computes the samples that were sent to it"


def test_a_masked_context_goes_with_its_sample() -> None:
    model = built(spec(f"{ROUTED}: {{type: soft, experts: 2}}"))
    inputs = example()
    alone = torch.cat([model(**{name: v[b : b + 1] for name, v in inputs.items()})["label"] for b in range(4)])
    assert_agree(model(**inputs)["label"], alone)


def test_a_sample_takes_the_branch_that_all_of_its_streams_choose() -> None:
    branches = "[{type: gated, depth: 1, heads: 2}, {type: cross_attention, depth: 2, heads: 2}, {type: attention, depth: 1, heads: 2}]"
    model = built(spec(f"type: routed, branches: {branches}, router: {{type: top_k, k: 2, balance: 0.0}}"))
    streams: dict[str, Tensor] = {}
    joint = model.joint.branches
    joint.register_forward_pre_hook(lambda m, args: streams.update(args=args))
    inputs = example()
    y = model.joint(*_handed(model, inputs))
    image, text, present = streams["args"]
    w = Weights.of(joint)
    means = [image.double().mean(1), (text.double() * present[..., None]).sum(1) / present.sum(1, keepdim=True)]
    p = linear(w.at("router"), torch.cat(means, -1), bias=False).softmax(-1)
    expected = []
    for b, chance in enumerate(p):
        best = likeliest(chance, 2)
        answers = [joint.experts[e](image[b : b + 1], text[b : b + 1], present[b : b + 1])[0].double() for e in best]
        expected.append(sum(chance[e] * a for e, a in zip(best, answers, strict=True)) / sum(chance[e] for e in best))
    assert_agree(y, torch.stack(expected))


def _handed(model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """What the fusion is handed."""
    seen: list[tuple[Tensor, ...]] = []
    handle = model.joint.register_forward_pre_hook(lambda m, args: seen.append(args))
    model(**inputs)
    handle.remove()
    return seen[0]


# learned by trying ------------------------------------------------------------------------------------------------------


def test_the_score_is_how_likely_a_samples_choices_were_less_the_mean() -> None:
    module, x = layer(f"type: learned, method: reinforce, experts: {EXPERTS}, balance: 0.0").train(), tokens()
    taken: list[Tensor] = []
    module.draw.register_forward_hook(lambda m, args, result: taken.append(result))
    y, score = module(x, MASK)
    w, p = scored(module, x)
    (choice,) = taken
    logs = [sum(p[b, n, choice[b, n, 0]].log() for n in range(LENGTH) if MASK[b, n]) for b in range(BATCH)]
    expected = torch.stack(logs)
    torch.testing.assert_close(score.double(), expected - expected.mean(), rtol=1e-4, atol=1e-5)
    said = [
        torch.stack([answer(w, e, t) for t, (e,) in zip(x[b], choice[b].tolist(), strict=True)]) for b in range(BATCH)
    ]
    assert_agree(y, torch.stack(said))
    assert module.eval()(x, MASK)[1] == 0


def test_the_gradient_of_trying_is_that_of_the_mean_loss_by_the_routes() -> None:
    """Two samples, two routes each: the mean over all draws of the term's gradient, against the derivative of the expectation."""
    from mmspec.backend.runtime import score_function

    logits = torch.tensor([0.3, -0.5], dtype=torch.float64, requires_grad=True)
    cost = torch.tensor([[1.0, 3.0], [2.0, -1.0]], dtype=torch.float64)  # of sample b on route e
    p = logits.softmax(0)
    (expected,) = torch.autograd.grad((cost * p).sum(1).mean(), logits, retain_graph=True)
    found = torch.zeros(2, dtype=torch.float64)
    for first in range(2):
        for second in range(2):
            drawn = torch.tensor([first, second])
            score = p[drawn].log()
            losses = cost[torch.arange(2), drawn]
            (gradient,) = torch.autograd.grad(score_function(losses, score - score.mean()), logits, retain_graph=True)
            found += (p[first] * p[second]).detach() * gradient
    torch.testing.assert_close(found, expected)


def test_trying_learns_the_route_that_costs_less() -> None:
    from mmspec.backend import build_objectives

    said = "type: cross_attention, depth: 2, heads: 2, router: {type: learned, method: reinforce, experts: 2, balance: 0.1}"
    made = spec(said, objectives=["{type: cross_entropy, head: label, target: answer}"])
    model, losses = built(made).train(), build_objectives(made)
    torch.manual_seed(0)
    outputs = model(**example())
    assert outputs["joint.balance"].shape == (4,)
    found = losses(outputs, {"answer": torch.tensor([0, 1, 2, 3])})
    found["total"].backward()
    assert found["joint.balance"].item() == pytest.approx(outputs["joint.balance"].mean().item())
    assert all(block.feed_forward.router.weight.grad.any() for block in model.joint.blocks)
