"""A trace is the schedule, one operation after another, each as long as it is said to take."""

import json

import pytest

import mmspec
from mmspec.cost import Sizes
from mmspec.cost.timeline import timeline
from mmspec.cost.timing import Timing, lower_bounds, of_nodes
from mmspec.cost.trace import trace


def traced(name, seconds):
    price = mmspec.profile(mmspec.load(name))
    text = trace(price, Timing(seconds, "a rule of this test"), timeline(price.graph, Sizes(price.sizes)))
    return price, json.loads(text)


def by_flops(entry):
    return entry.forward.flops * 1e-9


@pytest.mark.parametrize("name", ["vit_b16", "fusion_gated", "swin_t", "t5_base", "mixtral_8x7b"])
def test_operations_follow_one_another_and_take_as_long_as_all_of_them(name):
    price, data = traced(name, by_flops)
    events = [e for e in data["traceEvents"] if e["ph"] == "X"]
    ends = [e["ts"] + e["dur"] * (1 - 1e-9) for e in events]
    leaves = [
        e for e, end, after in zip(events, ends, [*events[1:], None], strict=True) if not after or after["ts"] >= end
    ]
    assert sum(e["dur"] for e in leaves) == pytest.approx(price["flops.total"] * 1e-3)
    end = 0.0
    for event in leaves:
        assert event["ts"] == pytest.approx(end, rel=1e-9)
        end = event["ts"] + event["dur"]


def test_events_are_what_the_format_asks_for():
    """Trace Event Format: complete events have ts and dur, counters a number; times are finite, in microseconds, nested."""
    _, data = traced("fusion_gated", lambda entry: 1e-6)
    assert set(data) == {"traceEvents", "displayTimeUnit", "otherData"}
    open_until = []
    for event in data["traceEvents"]:
        assert event["ph"] in "XMC" and {"pid", "name"} <= set(event)
        if event["ph"] == "X":
            assert event["ts"] >= 0 and event["dur"] > 0 and event["tid"] == 1
            while open_until and open_until[-1] <= event["ts"] + 1e-9:
                open_until.pop()
            assert not open_until or event["ts"] + event["dur"] <= open_until[-1] + 1e-6
            open_until.append(event["ts"] + event["dur"])
    assert data["otherData"]["durations"] == "a rule of this test"


def test_every_block_of_a_stack_is_there_and_what_is_alive_is_counted_at_its_operations():
    price, data = traced("vit_b16", lambda entry: 1e-6)
    blocks = [e["name"] for e in data["traceEvents"] if e["ph"] == "X" and e["args"]["path"] == "image.blocks"]
    assert blocks == [f"blocks {index}" for index in range(12)]
    alive = [e["args"]["bytes"] for e in data["traceEvents"] if e["ph"] == "C"]
    assert max(alive) == price["memory.activations"]
    assert len(alive) > 0.9 * len(timeline(price.graph, Sizes(price.sizes)).moments)


def test_the_lower_bounds_of_a_device_add_up_to_its_time_op_by_op():
    price = mmspec.profile(mmspec.load("vit_b16"), 8, device="h200", precision="bf16")
    data = json.loads(trace(price, lower_bounds(price.on), timeline(price.graph, Sizes(price.sizes))))
    ends = [event["ts"] + event["dur"] for event in data["traceEvents"] if event["ph"] == "X"]
    assert max(ends) == pytest.approx(1e6 * price.on.roofline.whole.op_by_op)
    assert "no measurement" in data["otherData"]["durations"]


def test_measured_times_of_nodes_are_shown_as_such_with_nothing_inside():
    price = mmspec.profile(mmspec.load("fusion_gated"))
    measured = {"image": 2e-3, "text": 3e-3, "joint": 1e-3, "label": 1e-4}
    data = json.loads(trace(price, of_nodes(measured, "measured"), timeline(price.graph, Sizes(price.sizes))))
    shown = {event["name"]: event["dur"] for event in data["traceEvents"] if event["ph"] == "X"}
    assert shown == pytest.approx({name: 1e6 * seconds for name, seconds in measured.items()})
