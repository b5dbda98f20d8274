"""Sparse experts, on a layer taken out of a model: x [B, N, D] and a mask go in, tokens and the balance loss come out."""

import pytest
import torch
from reference import Weights, feed_forward, imbalance, likeliest, linear, top_k
from tiny_models import assert_agree, built, spec
from torch import Tensor, nn

import mmspec

EXPERTS, WIDTH = 4, 16
PROBABILITIES_ARE_SINGLE = 1e-5  # the router's softmax is float32 in every precision
MASK = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)


def layer(k: int, balance: float = 0.01, experts: int = EXPERTS, seed: int = 0) -> nn.Module:
    """A mixture whose tokens may be absent, in evaluation mode."""
    router = f"router: {{type: top_k, experts: {experts}, k: {k}, balance: {balance}}}"
    return built(spec(f"type: concat, depth: 1, expansion: 1, {router}"), seed).joint.blocks[0].feed_forward


def tokens(batch: int = 3, count: int = 5, seed: int = 2) -> Tensor:
    return torch.randn(batch, count, WIDTH, generator=torch.Generator().manual_seed(seed))


def favour(module: nn.Module, *rows: Tensor | float) -> None:
    """Let expert e's logit be rows[e] times the first channel, or rows[e] as a vector."""
    module.router.weight.data.zero_()
    for e, value in enumerate(rows):
        if isinstance(value, Tensor):
            module.router.weight.data[e] = value
        else:
            module.router.weight.data[e, 0] = value


def met(module: nn.Module, x: Tensor, mask: Tensor) -> dict[int, int]:
    """How many rows each expert is asked to compute; those that are not called are missing."""
    rows: dict[int, int] = {}
    handles = [
        expert.register_forward_pre_hook(lambda m, args, e=e: rows.update({e: rows.get(e, 0) + len(args[0])}))
        for e, expert in enumerate(module.experts)
    ]
    module(x, mask)
    for handle in handles:
        handle.remove()
    return rows


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_each_token_goes_to_its_k_likeliest_experts(k: int) -> None:
    module = layer(k)
    for dtype, tolerance in ((torch.float32, 2e-5), (torch.float64, PROBABILITIES_ARE_SINGLE)):
        module, x = module.to(dtype), tokens().to(dtype)
        y, _ = module(x, MASK)
        assert_agree(y, top_k(k)(Weights.of(module), x.double(), MASK), tolerance)
        assert y.dtype == dtype


def test_with_k_of_all_experts_it_is_the_dense_mixture() -> None:
    module, x = layer(k=EXPERTS), tokens()
    w = Weights.of(module)
    probabilities = linear(w.at("router"), x.double(), bias=False).softmax(-1)
    answers = torch.stack([feed_forward(w.at(f"experts.{e}"), x.double()) for e in range(EXPERTS)], dim=-1)
    assert_agree(module(x, MASK)[0], torch.einsum("bne,bnde->bnd", probabilities, answers))


def test_the_one_expert_of_k_1_answers_unweighted() -> None:
    module, x = layer(k=1), tokens()
    y, _ = module(x, MASK)
    for b in range(3):
        for n in range(5):
            best = module.router(x[b, n]).argmax()
            torch.testing.assert_close(y[b, n], module.experts[best](x[b, n]))


def test_a_token_meets_the_same_experts_alone_as_in_company() -> None:
    module, x = layer(k=2), tokens()
    alone = torch.stack(
        [
            torch.cat([module(x[b : b + 1, n : n + 1], MASK[b : b + 1, n : n + 1])[0][0] for n in range(5)])
            for b in range(3)
        ]
    )
    assert_agree(module(x, MASK)[0], alone)


@pytest.mark.parametrize("training", [False, True])
def test_experts_that_were_not_chosen_get_no_gradient(training: bool) -> None:
    module = layer(k=2, balance=0.0).train(training)
    x = tokens(1, 1)
    chosen = likeliest(module.router(x[0, 0]), 2)
    module(x).square().sum().backward()  # nothing is balanced: no loss comes beside it, and no mask is asked for
    for e, expert in enumerate(module.experts):
        moved = any(p.grad is not None and p.grad.any() for p in expert.parameters())
        assert moved == (e in chosen)
    assert module.router.weight.grad.any(), "the router learns from how the chosen ones are weighed"


def test_one_token_gives_its_experts_no_gradient_from_the_rest_of_the_batch() -> None:
    module, x = layer(k=2), tokens().requires_grad_()
    y, _ = module(x, MASK)
    (gradient,) = torch.autograd.grad(y[1, 2].square().sum(), x)
    assert (gradient.abs().amax(-1) > 0).nonzero().tolist() == [[1, 2]]


def test_only_chosen_experts_compute_and_only_the_tokens_that_chose_them() -> None:
    module, x = layer(k=2), tokens()
    expected = dict.fromkeys(range(EXPERTS), 0)
    for token in x.flatten(0, 1):
        for e in likeliest(module.router(token), 2):
            expected[e] += 1
    assert met(module, x, MASK) == {e: rows for e, rows in expected.items() if rows}


@pytest.mark.parametrize("training", [False, True])
def test_an_expert_without_tokens_is_not_computed_and_does_no_harm(training: bool) -> None:
    module, x = layer(k=2).train(training), tokens()
    x[:, :, 0] = x[:, :, 0].abs() + 1
    favour(module, 3.0, -5.0, 1.0, -4.0)
    assert met(module, x, MASK) == {0: 15, 2: 15}
    y, balance = module(x, MASK)
    assert_agree(y, top_k(2)(Weights.of(module), x.double(), MASK))
    (y.square().sum() + balance).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in module.parameters())


def test_on_a_tie_k_different_experts_share_equally() -> None:
    module, x = layer(k=2), tokens()
    favour(module, 0.0, 0.0, 0.0, 0.0)
    answers = torch.stack([expert(x) for expert in module.experts])  # [E, B, N, D]
    pairs = torch.stack([(answers[a] + answers[b]) / 2 for a in range(EXPERTS) for b in range(a)])
    y, _ = module(x, MASK)
    assert ((pairs - y).abs().amax(-1).amin(0) < 1e-6).all()


def test_equal_experts_are_one_feed_forward() -> None:
    module, x = layer(k=3), tokens()
    for expert in module.experts:
        expert.load_state_dict(module.experts[0].state_dict())
    assert_agree(module(x, MASK)[0], module.experts[0](x))


def test_no_sample_at_all_is_no_answer_and_no_error() -> None:
    for module in (layer(k=2), layer(k=2).train()):
        y, balance = module(tokens(batch=0), MASK[:0])
        assert y.shape == (0, 5, WIDTH) and balance == 0


# the balance loss -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_balance_loss_is_E_sum_f_P_over_the_tokens_that_are_there(k: int) -> None:
    module, x = layer(k, balance=0.3).train(), tokens(seed=7)
    _, balance = module(x, MASK)
    w = Weights.of(module)
    expected = 0.3 * imbalance(linear(w.at("router"), x.double(), bias=False).softmax(-1), k, MASK)
    torch.testing.assert_close(balance.double(), expected, rtol=1e-6, atol=0)

    balance.backward()
    expected.backward()
    torch.testing.assert_close(module.router.weight.grad.double(), w["router.weight"].grad, rtol=1e-4, atol=1e-7)
    assert all(p.grad is None for p in module.experts.parameters()), "it moves the router only"


def test_absent_tokens_do_not_count_as_use() -> None:
    module, x = layer(k=2).train(), tokens()
    _, balance = module(x, MASK)
    _, other = module(torch.where(MASK[:, :, None], x, tokens(seed=9)), MASK)
    assert balance == other
    assert balance != module(x, torch.ones_like(MASK))[1]
    _, nothing = module(x, torch.zeros_like(MASK))
    assert nothing == 0


def test_experts_used_alike_cost_the_coefficient() -> None:
    module = layer(k=1, balance=0.25).train()
    favour(module, *(2 * torch.eye(WIDTH)[e] for e in range(EXPERTS)))
    x = torch.eye(WIDTH)[:EXPERTS].expand(3, -1, -1)  # token e goes to expert e
    mask = torch.ones(3, EXPERTS, dtype=torch.bool)
    assert met(module, x, mask) == dict.fromkeys(range(EXPERTS), 3)
    torch.testing.assert_close(module(x, mask)[1], torch.tensor(0.25))


@pytest.mark.parametrize(("k", "most"), [(1, EXPERTS), (2, EXPERTS / 2), (4, 1)])
def test_experts_left_to_themselves_cost_up_to_E_over_k_times_the_coefficient(k: int, most: float) -> None:
    module, x = layer(k, balance=0.5).train(), tokens()
    x[:, :, 0] = 1
    favour(module, *([40.0] * k + [-40.0] * (EXPERTS - k)))
    torch.testing.assert_close(module(x, MASK)[1], torch.tensor(0.5 * most))


def test_nothing_is_balanced_at_inference() -> None:
    assert layer(k=2, balance=5.0)(tokens(), MASK)[1] == 0


def test_a_router_that_cannot_learn_from_what_its_expert_answers_is_said_to() -> None:
    """The weight of a single expert, over its own sum, is 1 whatever the router says."""
    fusion = "type: concat, depth: 1, router: {{type: top_k, experts: 3, k: 1{more}}}"
    (note,) = mmspec.lower(spec(fusion.format(more=""), ("image", "note"))).notes
    assert note.startswith("joint.blocks.*.feed_forward.router: a token's only expert weighs 1")
    assert not mmspec.lower(spec(fusion.format(more=", normalise: false"), ("image", "note"))).notes
