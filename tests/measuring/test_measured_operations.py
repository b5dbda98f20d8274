"""An operation by itself computes what it computes inside of the model, on what it is handed there."""

import pytest
import torch
from torch import fx

import mmspec
from mmspec.backend.runtime import Loop, Stages
from mmspec.cost import Sizes
from mmspec.cost.budgets import with_costs
from mmspec.measuring.calibration import Bench, Calibration, Taken, keys_of
from mmspec.measuring.estimate import estimated
from mmspec.measuring.examples import inputs_of
from mmspec.measuring.machine import this_machine
from mmspec.measuring.operations import go_on, meet
from mmspec.measuring.schedule import schedule


def case(name, batch=2, **changes):
    spec = mmspec.load(name, **changes)
    graph = with_costs(mmspec.lower(spec))
    return spec, graph, Sizes({"B": batch, **graph.limits})


def met(graph, sizes):
    """What `meet` shows, and what it returns by output."""
    seen = []
    inputs = inputs_of(graph, sizes)
    outputs = meet(
        graph, [inputs.get(v.name) for v in graph.inputs], lambda op, shell, given: seen.append((op, shell, given))
    )
    return seen, dict(zip(graph.outputs, outputs, strict=True))


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("fusion_gated", {}), ("vit_b16", {"variant": "small"}), ("t5_base", {"variant": "small"}), ("act_fusion", {}),
        ("mixtral_8x7b", {"variant": "small"}), ("swin_t", {"variant": "small"}), ("anytime", {}),
    ],
)  # fmt: skip
def test_operations_are_handed_tensors_of_the_shapes_that_the_graph_says(name, changes):
    _, graph, sizes = case(name, **changes)
    seen, outputs = met(graph, sizes)
    for op, _, given in seen:
        for value, tensor in zip(op.inputs, given, strict=True):
            if isinstance(tensor, torch.Tensor):
                assert tuple(tensor.shape) == sizes(value), f"{op.kind}: {value.name}"
    for name, value in graph.outputs.items():
        if name not in graph.training and isinstance(outputs[name], torch.Tensor):
            assert tuple(outputs[name].shape) == sizes(value), name


def test_every_scheduled_operation_is_met():
    _, graph, sizes = case("fusion_gated")
    seen, _ = met(graph, sizes)
    scheduled = {id(step.op) for step in schedule(graph, sizes) if step.op is not None}
    assert scheduled <= {id(op) for op, _, _ in seen}


def test_the_model_calls_modules_as_often_as_the_schedule_says():
    """Linear layers, norms and convolutions of the built module, counted while it runs."""
    spec, graph, sizes = case("swin_t", variant="small")
    model = mmspec.build(spec).eval()
    calls = {"linear": 0, "layer_norm": 0, "convolution": 0}
    kinds = {torch.nn.Linear: "linear", torch.nn.LayerNorm: "layer_norm", torch.nn.Conv2d: "convolution"}

    def count(module, *_):
        calls[kinds[type(module)]] += 1

    for module in model.modules():
        if type(module) in kinds:
            module.register_forward_hook(count)
    with torch.no_grad():
        model(**inputs_of(graph, sizes))
    scheduled = dict.fromkeys(calls, 0)
    for step in schedule(graph, sizes):
        if step.op is not None and step.op.kind in scheduled:
            scheduled[step.op.kind] += step.times
    assert calls == scheduled


def test_scopes_are_entered_as_often_as_the_schedule_says():
    spec, graph, sizes = case("vit_b16", variant="small")
    model = mmspec.build(spec).eval()
    entered = []
    for name, module in model.named_modules():
        if name and isinstance(module, fx.GraphModule):
            module.register_forward_hook(lambda *_: entered.append(1))
    with torch.no_grad():
        model(**inputs_of(graph, sizes))
    assert len(entered) == sum(step.times for step in schedule(graph, sizes) if step.op is None)


def test_what_may_stop_early_goes_on_to_its_end():
    for name in ("fusion_gated", "act_fusion", "anytime"):
        spec, graph, sizes = case(name)
        model = mmspec.build(spec).eval()
        go_on(model)
        last = [module.earlier for module in model.modules() if isinstance(module, (Loop, Stages))]
        with torch.no_grad():
            outputs = model(**inputs_of(graph, sizes))
        exits = [value for key, value in outputs.items() if key.endswith(".exit")]
        assert last and all(value.eq(last[0]).all() for value in exits)


def test_the_estimate_is_the_sum_over_the_schedule_of_what_operations_take():
    _, graph, sizes = case("fusion_gated")
    bench = Bench(graph, sizes)
    bench.run(0.0)
    known = Calibration(this_machine(1).to_dict())
    new = bench.tell(known)
    found = estimated(graph, sizes, known, new)
    steps = list(schedule(graph, sizes))
    assert new == len({step.key for step in steps}) == len(known.operations)
    by_hand = sum(step.times * known.operations[bench.names[step.key]].minimum for step in steps)
    assert found.seconds == pytest.approx(by_hand) == pytest.approx(sum(found.nodes.values()))
    assert set(found.nodes) == {"image", "text", "joint", ""}
    assert sum(line.times for line in found.lines) == sum(step.times for step in steps)
    assert bench.tell(known) == 0  # all is known now


def test_an_estimate_says_how_much_of_it_was_measured_on_a_busy_machine():
    _, graph, sizes = case("vit_b16", variant="small")
    steps = list(schedule(graph, sizes))
    names = keys_of(graph, steps)
    shaky = {step.key for step in steps if step.label.startswith("linear")}
    taken = {names[s.key]: Taken(s.label, 1.0, 1.0, 0.5 if s.key in shaky else 0.01) for s in steps}
    found = estimated(graph, sizes, Calibration(this_machine(1).to_dict(), taken))
    linear = sum(step.times for step in steps if step.key in shaky)
    assert found.unsteady_share == pytest.approx(linear / sum(step.times for step in steps))
