"""Of every router whose choice may leave an expert without tokens there are weights that do, for any of its experts; and of every
router there are weights by which any of its experts meets some."""

from functools import cache

import pytest
import small_exports as small
import torch
from test_export_routers import NARROW, ROUTERS, spec

import mmspec
from mmspec.backend.runtime import Experts
from mmspec.deploy import load_target
from mmspec.deploy.cases import full_case, plain_case, randomised, smallest_case
from mmspec.deploy.draft import serving_of
from mmspec.deploy.steering import direction, fed, spare, starved
from mmspec.deploy.subject import subject_of
from mmspec.deploy.watching import stacks_of, watching

FREE = {  # experts that may have no tokens, of 3 (of 2 branches), where the smallest sample has 4 patches and a word
    "top_k": 1, "switch": 1, "learned": 2, "tried": 2, "attention": 1, "branches": 1, "top_p": 2, "by_modality": 2, "dropping": 2,
    "full": 0, "soft": 0, "expert_choice": 0, "hard": 0,
}  # fmt: skip
MORE = {
    "top_p": "type: top_p, experts: 3, p: 0.9",
    "by_modality": "type: top_k, experts: 3, k: 1, normalise: false, input: modality",
    "dropping": "type: switch, experts: 3, capacity: 1",
    "many": "type: top_k, experts: 24, k: 1",
    "full": "type: switch, experts: 3, capacity: 2, drop: next",
}


OTHERS = {"task": lambda: mmspec.load("fusion_gated_task", NARROW), "exits": small.flagship}


@cache
def served(name):
    asked = OTHERS[name]() if name in OTHERS else spec((ROUTERS | MORE)[name])
    return serving_of(subject_of(asked), load_target("edge_cpu_fp32"))


def drawn(name, seed=0):
    """The model with random weights, none of whose samples leaves early, and its contract."""
    graph, contract, module = served(name)
    model = randomised(module, graph, seed)
    for stack in stacks_of(model).values():
        stack.force(stack.earlier)
    return model, contract


def left(model, case):
    """Experts of each module that met no token, in every run of it."""
    with torch.no_grad(), watching(model, case.batch) as seen:
        model(*case.inputs)
    return {name: {i for i, runs in enumerate(idle.tolist()) if runs} for name, idle in seen.idle.items()}


@pytest.mark.parametrize("name", FREE)
def test_any_expert_of_any_router_goes_without_tokens_unless_all_always_have_some(name):
    model, contract = drawn(name)
    case = smallest_case(contract, 0)
    free = spare(model, case.inputs)
    assert free and set(free.values()) == {FREE[name]}
    count = 2 if name == "branches" else 3
    for first in range(count if FREE[name] else 0):
        idle = {(first + i) % count for i in range(FREE[name])}
        model, _ = drawn(name, seed=first)
        with starved(model, case.inputs, {module: sorted(idle) for module in free}):
            assert all(idle <= found for found in left(model, case).values())


def test_where_each_claims_its_own_or_the_others_have_no_room_no_weights_leave_one_without():
    for name in ("soft", "expert_choice", "hard", "full"):
        for seed in range(5):
            model, contract = drawn(name, seed)
            assert not any(left(model, plain_case(contract, 1, seed)).values())


def test_experts_by_task_and_those_behind_exits_go_without_tokens():
    for name in OTHERS:
        model, contract = drawn(name)
        case = smallest_case(contract, 0)
        free = spare(model, case.inputs)
        with starved(model, case.inputs, {module: [1] for module in free}):
            assert all(1 in found for found in left(model, case).values()) and len(free) == 2


def test_a_direction_has_every_token_before_it_and_there_is_none_where_they_surround_the_origin():
    torch.manual_seed(0)
    for count, width in ((3, 8), (40, 8), (200, 32)):
        tokens = torch.randn(count, width, dtype=torch.float64)
        tokens[:, 0] = tokens[:, 0].abs() + 0.05  # all on one side of a plane
        v = direction(tokens)
        assert v is not None and (tokens @ v).min() >= 1 - 1e-9
    assert direction(torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)) is None


@pytest.mark.parametrize("name", FREE)
def test_every_expert_is_some_tokens_choice_where_a_router_is_steered_to_it(name):
    model, contract = drawn(name)
    case, before = full_case(contract, 4, 0), {path: value.clone() for path, value in model.state_dict().items()}
    with torch.no_grad(), watching(model, case.batch) as seen:
        model(*case.inputs)
    for first in range(len(next(iter(seen.chosen.values())))):
        with fed(model, case.inputs, {module: [first] for module in seen.chosen}):
            with torch.no_grad(), watching(model, case.batch) as steered:
                model(*case.inputs)
            assert all(counts[first] for counts in steered.chosen.values())
    assert all(value.equal(before[path]) for path, value in model.state_dict().items())


def test_of_many_experts_as_many_meet_tokens_as_there_are_tokens():
    model, contract = drawn("many")
    case = smallest_case(contract, 0)
    names = [name for name, child in model.named_modules() if isinstance(child, Experts)]
    wanted = {name: list(range(20)) for name in names}
    with fed(model, case.inputs, wanted), torch.no_grad(), watching(model, case.batch) as seen:
        model(*case.inputs)
    assert [int(counts[:20].bool().sum()) for counts in seen.chosen.values()] == [5] * len(
        names
    )  # 4 patches and a word
