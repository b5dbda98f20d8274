"""A model as its few different operations: they are those of the ledger, and run as often."""

from collections import Counter

import pytest

import mmspec
from mmspec.cost import Sizes
from mmspec.cost.ledger import ledger
from mmspec.measuring.schedule import AT_HAND, SCOPE, schedule

WHOLE = ("experts", "loop", "stages")  # measured as one operation


def steps_of(name, batch=1, **changes):
    spec = mmspec.load(name, **changes)
    graph = mmspec.lower(spec)
    sizes = Sizes({"B": batch, **graph.limits})
    return spec, graph, sizes, list(schedule(graph, sizes))


@pytest.mark.parametrize(
    "name", ["vit_b16", "bert_base", "swin_t", "convnext_t", "t5_base", "clip_vit_b32", "llama_70b"]
)
def test_every_operation_runs_as_often_as_the_ledger_says(name):
    spec, graph, sizes, steps = steps_of(name)
    here, there = Counter(), Counter()
    for step in steps:
        if step.op is not None:
            here[id(step.op)] += step.times
    for entry, runs in ledger(spec, graph, sizes).operations():
        if entry.kind not in AT_HAND:
            there[id(entry.op)] += runs
    assert here == there


def test_blocks_of_a_stack_that_may_halt_are_looked_into_and_run_as_often():
    spec, graph, sizes, steps = steps_of("fusion_gated")
    runs = {id(entry.op): runs for entry, runs in ledger(spec, graph, sizes).operations()}
    found = [step for step in steps if step.op is not None and step.op.kind not in WHOLE]
    assert {step.op.kind for step in steps if step.op is not None} & set(WHOLE) == {"experts", "stages"}
    assert all(runs[id(step.op)] == step.times for step in found)
    assert (
        sum(step.times for step in steps if step.op is not None and step.op.kind == "experts") == 2
    )  # a layer a block


def test_a_transformer_has_about_a_dozen_different_operations_whatever_its_depth():
    different = {}
    for depth in (2, 12, 48):
        spec = mmspec.load("vit_b16", [f"encoders.image.depth={depth}"])
        graph = mmspec.lower(spec)
        steps = list(schedule(graph, Sizes({"B": 1})))
        different[depth] = {step.key for step in steps}
        assert sum(step.times for step in steps if step.label.startswith("attention")) == depth
    assert different[2] == different[12] == different[48]
    assert len(different[2]) < 20


def test_what_takes_another_time_is_another_operation_and_what_does_not_is_the_same():
    def labels(*changes, batch=1):
        graph = mmspec.lower(mmspec.load("vit_b16", list(changes)))
        return {step.key: step.label for step in schedule(graph, Sizes({"B": batch}))}

    plain, dropped = labels(), labels("encoders.image.dropout=0.3")
    assert {label.split()[0] for key, label in dropped.items() if key not in plain} == {"dropout"}
    assert plain.keys() < dropped.keys()
    assert plain.keys() & labels(batch=2).keys() == {SCOPE}
    other = labels("encoders.image.heads=8")
    assert {other[key].split()[0] for key in other.keys() - plain.keys()} == {"split_heads", "attention", "merge_heads"}


def test_steps_belong_to_nodes_and_entries_into_scopes_are_counted():
    _, graph, _, steps = steps_of("vit_b16")
    assert {step.node for step in steps} == {op.name for op in graph.ops if op.kind == "call"}
    entered = sum(step.times for step in steps if step.op is None)
    assert entered == 2 + 12 + 2 * 12  # the encoder and its head; 12 blocks, each with attention and feed-forward
