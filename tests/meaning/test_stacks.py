"""Stacks of blocks of several kinds, stochastic depth, and constants."""

import copy
import pickle

import pytest
import torch
from exits import Journey, Step, exit_of, splitting
from pieces import graph_of, piece
from tiny_models import HEAD, assert_agree, built, example, spec
from torch import Tensor, nn

import mmspec
from mmspec.backend.runtime import DropPath
from mmspec.components.halting.confidence import Confidence
from mmspec.ir import Scope, Value, parameters
from mmspec.ir.functions import tanh
from mmspec.passes import drop_unused, serving
from mmspec.testing import check_spec, counted_flops

# kinds of blocks --------------------------------------------------------------------------------------------------------


def narrow(g: Scope, x: Value, offset: Value) -> Value:
    return tanh(g.linear("a", x, x.width))


def wide(g: Scope, x: Value, offset: Value) -> Value:
    return g.linear("down", tanh(g.linear("up", x, 3 * x.width)), x.width) + offset


ORDER = (narrow, wide, wide, narrow)


def stack(g: Scope, x: Value, offset: Value) -> Value:
    return g.stack("blocks", len(ORDER), ORDER, x, offset, class_name="Block")


SHAPES = {"x": (2, 4), "offset": (2, 4)}


def test_blocks_of_several_kinds_run_in_the_order_that_was_asked_for() -> None:
    model = piece(stack, **SHAPES)
    x, offset = torch.randn(2, 2, 4)
    expected = x
    for body, block in zip(ORDER, model.blocks, strict=True):
        if body is narrow:
            expected = torch.tanh(expected @ block.a.weight.T + block.a.bias)
        else:
            inner = torch.tanh(expected @ block.up.weight.T + block.up.bias)
            expected = inner @ block.down.weight.T + block.down.bias + offset
    assert_agree(model(x, offset), expected)


def test_parameters_are_listed_block_by_block_each_of_its_kind() -> None:
    kinds = {narrow: ["a.weight", "a.bias"], wide: ["up.weight", "up.bias", "down.weight", "down.bias"]}
    expected = [f"blocks.{i}.{name}" for i, body in enumerate(ORDER) for name in kinds[body]]
    assert [placed.path for placed in parameters(graph_of(stack, **SHAPES))] == expected
    assert [name for name, _ in piece(stack, **SHAPES).named_parameters()] == expected


def test_each_kind_is_emitted_once() -> None:
    (repeat,) = graph_of(stack, **SHAPES).ops
    assert len(repeat.bodies) == 2 and repeat.attributes["order"] == (0, 1, 1, 0)


def test_what_one_kind_alone_reads_stays_after_what_nobody_needs_is_dropped() -> None:
    graph = drop_unused(graph_of(lambda g, x, offset, other: stack(g, x, offset), **SHAPES, other=(2, 4)))
    assert [value.name for value in graph.ops[0].inputs] == ["x", "offset"]
    only_narrow = graph_of(lambda g, x, offset: g.stack("blocks", 2, narrow, x, offset, class_name="B"), **SHAPES)
    assert [value.name for value in drop_unused(only_narrow).ops[0].inputs] == ["x"]


def test_a_block_can_be_changed_without_its_twins() -> None:
    model = piece(lambda g, x, offset: g.stack("blocks", 3, wide, x, offset, class_name="Block"), **SHAPES)
    x, offset = torch.randn(2, 2, 4)
    expected = x
    for index, block in enumerate(model.blocks):
        after = block(expected, offset)
        expected = after - offset if index == 1 else after
    changed = model.blocks[1]
    sum_ = next(node for node in changed.graph.nodes if node.op == "call_function" and "add" in str(node.target))
    sum_.replace_all_uses_with(sum_.args[0])
    changed.graph.eliminate_dead_code()
    changed.recompile()
    assert_agree(model(x, offset), expected)
    assert len({block.down.weight.data_ptr() for block in model.blocks}) == 3


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_graph_that_nobody_has_run_is_edited_for_its_own_block_from_recompile_on(index: int) -> None:
    model = piece(lambda g, x, offset: g.stack("blocks", 3, wide, x, offset, class_name="Block"), **SHAPES)
    x, offset = torch.randn(2, 2, 4)
    changed = model.blocks[index]
    sum_ = next(node for node in changed.graph.nodes if node.op == "call_function" and "add" in str(node.target))
    sum_.replace_all_uses_with(sum_.args[0])
    changed.graph.eliminate_dead_code()
    before = [block(x, offset) for block in model.blocks]
    changed.recompile()
    for i, block in enumerate(model.blocks):
        assert_agree(block(x, offset), before[i] - offset if i == index else before[i])


EVERY_SECOND = "router: {type: top_k, experts: 3, k: 2, balance: 0.1}, router_every: 2"


def routed(depth: int, **more: object):
    text = f"{{type: text_transformer, width: 12, depth: {depth}, heads: 2, {EVERY_SECOND}}}"
    return spec(streams=["text"], encoders={"text": text}, objectives=["{type: cross_entropy, target: answer}"], **more)


@pytest.mark.parametrize("depth", [1, 4, 5])
def test_experts_stand_in_every_second_block_and_everything_agrees_with_torch(depth: int) -> None:
    check_spec(routed(depth))
    blocks = mmspec.build(routed(depth)).text.blocks
    assert [hasattr(block.feed_forward, "experts") for block in blocks] == [i % 2 == 1 for i in range(depth)]


def test_the_price_is_the_sum_of_the_kinds() -> None:
    price = {depth: mmspec.profile(routed(depth)) for depth in (1, 2, 3, 4)}
    for what in ("parameters.total", "flops.total"):
        dense, experts = price[3][what] - price[2][what], price[2][what] - price[1][what]
        assert price[4][what] == price[1][what] + dense + 2 * experts and dense != experts
    model, inputs = mmspec.build(routed(4)).eval(), {"text": torch.randint(1, 11, (1, 6))}
    assert counted_flops(model, inputs) == price[4]["flops.total"]


def test_only_blocks_with_experts_have_a_balance_loss() -> None:
    model, inputs = built(routed(4)).train(), {"text": torch.randint(1, 11, (2, 6))}
    losses = []
    for block in model.text.blocks:
        block.register_forward_hook(lambda module, args, result: losses.append(result[1]))
    total = model(**inputs)["text.balance"]
    assert losses[0] == losses[2] == 0 and losses[1] > 0 and losses[3] > 0
    assert_agree(total[None].repeat(2) * torch.tensor([1, 2]), (losses[1] + losses[3]) * torch.tensor([1, 2]))


def test_a_sample_may_leave_a_stack_of_several_kinds() -> None:
    """The stack alone, against a loop over its blocks."""

    def head(g: Scope, x: Value) -> Value:
        return g.linear("output", x, 3)

    def body(g: Scope, x: Value, offset: Value) -> dict[str, Value]:
        g.program.define_head = lambda name, like: g.define(name, "Head", head, like)
        y = g.stack("blocks", 4, ORDER, x, offset, class_name="Block", halting=Confidence(head="label", threshold=0.6))
        return {"y": y, "exit": g.exits["label.exit"]}

    model = piece(body, x=(16, 4), offset=(16, 4))
    x, offset = torch.randn(2, 16, 4, generator=torch.Generator().manual_seed(7))
    journeys: list[Journey] = []
    for sample in range(16):
        state, steps = x[sample : sample + 1], []
        for block in model.blocks:
            state = block(state, offset[sample : sample + 1])
            steps.append(Step({"y": state[0]}, model.label(state)[0]))
        journeys.append(steps)
    model.blocks.thresholds.copy_(torch.tensor(splitting(journeys)))
    found, exits = model(x, offset)
    assert exits.tolist() == [exit_of(journey, model.blocks.thresholds) for journey in journeys]
    assert len(exits.unique()) == 4
    assert_agree(found, torch.stack([journey[e].tokens["y"] for journey, e in zip(journeys, exits, strict=True)]))


# stochastic depth -------------------------------------------------------------------------------------------------------


def test_a_dropped_branch_is_gone_for_whole_samples_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    x = torch.ones(20_000, 3, 2)
    drop = DropPath(0.3)
    y = drop.train()(x)
    kept = y[:, 0, 0] != 0
    assert y[kept].allclose(torch.tensor(1 / 0.7)) and y[~kept].eq(0).all(), "a sample is kept or dropped as a whole"
    assert abs(kept.float().mean() - 0.7) < 4 * (0.7 * 0.3 / 20_000) ** 0.5
    assert drop.eval()(x) is x


def dropping(depth: int) -> nn.Module:
    text = f"{{type: text_transformer, width: 12, depth: {depth}, heads: 2, drop_path: 0.4}}"
    return spec(streams=["text"], encoders={"text": text})


def test_later_blocks_are_skipped_more_often_in_proportion_to_their_depth() -> None:
    blocks = built(dropping(5)).text.blocks
    rates = [{m.p for m in block.modules() if isinstance(m, DropPath)} for block in blocks]
    assert rates[0] == set() and rates[1:] == [{0.1}, {0.2}, {0.3}, {0.4}]


def test_the_serving_form_has_no_stochastic_depth_and_the_same_answers() -> None:
    whole = mmspec.lower(dropping(3))
    assert "drop_path" in str_of(whole) and "drop_path" not in str_of(serving(whole))
    check_spec(dropping(3))


def str_of(graph) -> str:
    return " ".join([op.kind + " " + " ".join(map(str_of, op.bodies)) for op in graph.ops])


# constants --------------------------------------------------------------------------------------------------------------


def rotating() -> tuple[nn.Module, dict[str, Tensor], Tensor]:
    options = "{type: text_transformer, width: 16, depth: 2, heads: 2, position: rotary, drop_path: 0.2}"
    model = built(spec(streams=["text"], encoders={"text": options}))
    inputs = example(["text"])
    return model, inputs, model(**inputs)["label"]


def test_constants_are_not_kept_with_the_weights() -> None:
    model, _, _ = rotating()
    names = dict(model.named_buffers())
    assert {"text.cos", "text.sin"} <= names.keys()
    assert not any(name.endswith((".cos", ".sin")) for name in model.state_dict())


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_a_copy_has_the_constants_and_still_does_not_keep_them(copied) -> None:
    model, inputs, expected = rotating()
    twin = copied(copied(model))
    assert twin(**inputs)["label"].equal(expected)
    assert twin.state_dict().keys() == model.state_dict().keys()
    assert twin.text.cos.data_ptr() != model.text.cos.data_ptr()


def test_constants_follow_the_model_to_another_dtype_but_not_to_another_models_weights() -> None:
    model, inputs, expected = rotating()
    assert_agree(model.double()(**inputs)["label"], expected, 2e-5)
    assert model.text.cos.dtype == torch.float64
    assert model.to(torch.bfloat16)(**inputs)["label"].dtype == torch.bfloat16
    fresh, _, _ = rotating()
    fresh.load_state_dict(model.float().state_dict())
    assert fresh.text.cos.equal(rotating()[0].text.cos)


def test_whole_numbers_stay_whole_in_another_dtype() -> None:
    options = "{type: text_transformer, width: 16, depth: 1, heads: 2, position: {type: relative_buckets, buckets: 8}}"
    model = built(spec(streams=["text"], encoders={"text": options}, heads={"label": HEAD}))
    assert model.double().text.distance_buckets.dtype == torch.int64
    model(**example(["text"]))
