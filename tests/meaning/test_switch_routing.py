"""A switch among experts with room for so many tokens, on a layer taken out of a model."""

import pytest
import torch
from reference import Weights, feed_forward, imbalance, likeliest, linear
from test_top_k_routing import EXPERTS, MASK, favour, met, tokens
from tiny_models import assert_agree, built, spec
from torch import Tensor, nn

PRESENT = torch.ones_like(MASK)


def layer(router: str = "type: switch, capacity: 2", seed: int = 0) -> nn.Module:
    fusion = f"type: concat, depth: 1, expansion: 1, router: {{{router}, experts: {EXPERTS}}}"
    return built(spec(fusion), seed).joint.blocks[0].feed_forward


def switch(module: nn.Module, x: Tensor, capacity: int | None) -> Tensor:
    """Each token in turn: the probability of its likeliest expert times what that expert says, 0 once the expert is full."""
    w = Weights.of(module)
    probabilities = linear(w.at("router"), x.double(), bias=False).softmax(-1)
    answers = torch.zeros_like(x, dtype=torch.float64)
    for b in range(x.shape[0]):
        room = [len(x[b]) if capacity is None else capacity] * EXPERTS
        for n in range(x.shape[1]):
            e = likeliest(probabilities[b, n], 1)[0]
            if room[e]:
                room[e] -= 1
                answers[b, n] = probabilities[b, n, e] * feed_forward(w.at(f"experts.{e}"), x[b, n].double())
    return answers


@pytest.mark.parametrize("capacity", [None, 1, 2, 5])
def test_an_expert_answers_the_first_tokens_of_a_sequence_weighted_by_their_probability(capacity: int | None) -> None:
    module, x = layer(f"type: switch, capacity: {'null' if capacity is None else capacity}"), tokens()
    assert_agree(module(x, PRESENT)[0], switch(module, x, capacity))


def test_tokens_that_come_late_are_dropped_and_cost_nothing() -> None:
    module, x = layer("type: switch, capacity: 2"), tokens()
    x[:, :, 0] = 1
    favour(module, 9.0, -9.0, -9.0, -9.0)
    y, _ = module(x, PRESENT)
    assert not y[:, 2:].any() and y[:, :2].abs().amin() > 0
    assert {e: rows for e, rows in met(module, x, PRESENT).items() if rows} == {0: 2 * 3}


def test_a_sequence_is_answered_alone_as_in_company() -> None:
    module, x = layer("type: switch, capacity: 1"), tokens()
    alone = torch.cat([module(x[b : b + 1], PRESENT[:1])[0] for b in range(3)])
    assert_agree(module(x, PRESENT)[0], alone)


@pytest.mark.parametrize("training", [False, True])
def test_a_dropped_token_gets_no_gradient_and_the_router_learns_from_the_others(training: bool) -> None:
    module, x = layer("type: switch, capacity: 1, balance: 0.0").train(training), tokens(1, 5).requires_grad_()
    y = module(x)  # nothing is balanced: no loss comes beside it, and no mask is asked for
    y.square().sum().backward()
    answered = (y[0].abs().amax(-1) > 0).tolist()
    assert (x.grad[0].abs().amax(-1) > 0).tolist() == answered and not all(answered)
    assert module.router.weight.grad.any()


def test_the_balance_loss_counts_choices_and_not_answers() -> None:
    module, x = layer("type: switch, capacity: 1, balance: 0.3").train(), tokens(seed=7)
    w = Weights.of(module)
    expected = 0.3 * imbalance(linear(w.at("router"), x.double(), bias=False).softmax(-1), 1, MASK)
    torch.testing.assert_close(module(x, MASK)[1].double(), expected, rtol=1e-6, atol=0)


def test_with_room_for_all_it_is_top_1_that_is_not_normalised() -> None:
    module, other, x = layer("type: switch"), layer("type: top_k, k: 1, normalise: false"), tokens()
    other.load_state_dict(module.state_dict())
    assert torch.equal(module(x, MASK)[0], other(x, MASK)[0])


def test_top_k_that_is_not_normalised_weighs_by_the_probabilities_themselves() -> None:
    module, x = layer("type: top_k, k: 2, normalise: false"), tokens()
    w = Weights.of(module)
    probabilities = linear(w.at("router"), x.double(), bias=False).softmax(-1)
    expected = torch.zeros_like(x, dtype=torch.float64)
    for b in range(3):
        for n in range(5):
            for e in likeliest(probabilities[b, n], 2):
                answer = feed_forward(w.at(f"experts.{e}"), x[b, n].double())
                expected[b, n] += probabilities[b, n, e] * answer
    assert_agree(module(x, MASK)[0], expected)


def test_no_sample_at_all_is_no_answer_and_no_error() -> None:
    for module in (layer(), layer().train()):
        y, balance = module(tokens(batch=0), PRESENT[:0])
        assert y.shape == (0, 5, 16) and balance == 0
