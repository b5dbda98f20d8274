"""A model that is run: its runtimes compute the same, its nodes add up to the whole, its memory is what was predicted."""

import shutil
import time

import pytest
import torch
from small_spec import small_spec
from torch import nn

import mmspec
from mmspec.components import CATALOGUE
from mmspec.errors import UserError
from mmspec.measuring import runtimes
from mmspec.measuring.held import held_bytes
from mmspec.measuring.measure import check_device, measure, runtimes_of
from mmspec.measuring.nodes import NodeClock
from mmspec.measuring.runtimes import Missing, compiled
from mmspec.spec import read


def measured(spec, seconds=0.3, **asked):
    graph = mmspec.lower(spec)
    price = mmspec.profile(spec, batch=2, graph=graph)
    return measure(spec, graph, price, seconds=seconds, **asked), price


def test_nodes_and_what_lies_between_them_add_up_to_the_run_that_they_were_timed_in():
    found, _ = measured(mmspec.load("fusion_gated"))
    assert list(found.nodes.nodes) == ["image", "text", "joint"]  # the head is asked inside of the stack
    assert all(seconds > 0 for seconds in found.nodes.nodes.values())
    told = found.to_dict()["nodes"]
    assert sum(told["ms"].values()) + told["between_ms"] == pytest.approx(told["total_ms"])
    assert 0 < found.nodes.between < 0.5 * found.nodes.total
    assert told["overhead"] == pytest.approx(found.nodes.total / found.times["torch"].minimum - 1)


def test_a_node_s_time_is_its_own():
    class Slow(nn.Module):
        def __init__(self, seconds):
            super().__init__()
            self.seconds = seconds

        def forward(self):
            time.sleep(self.seconds)

    model = nn.ModuleDict({"image": Slow(0.02), "text": Slow(0.04)})
    clock = NodeClock(model, ["image", "text"], lambda: (time.sleep(0.01), model["image"](), model["text"]()))
    for _ in range(3):
        clock()
    best = clock.best
    assert best.nodes["image"] >= 0.02 and best.nodes["text"] >= 0.04 and best.between >= 0.01
    assert best.total == pytest.approx(sum(best.nodes.values()) + best.between)
    assert not model["image"]._forward_hooks  # the clocks are gone


def test_what_a_node_calls_is_counted_as_its_own():
    inner = nn.Identity()

    class Outer(nn.Module):
        def forward(self):
            time.sleep(0.01)
            return inner(torch.zeros(1))

    model = nn.ModuleDict({"outer": Outer(), "inner": inner})
    clock = NodeClock(model, ["outer", "inner"], lambda: model["outer"]())
    clock()
    assert clock.best.nodes["inner"] == 0 and clock.best.nodes["outer"] >= 0.01


def test_tensors_hold_what_was_predicted():
    found, price = measured(mmspec.load("fusion_gated", ["fusion.joint.router=dense"]))
    assert found.memory["held"] == pytest.approx(price["memory.activations"], rel=0.01)


def test_held_bytes_are_those_that_live_at_once():
    x = torch.zeros(1000)

    def run():
        y = x + 1  # 4,000 bytes
        y = y + 1  # 8,000 while both live
        return y.view(10, 100)  # no bytes of its own

    assert held_bytes(run, [x]) == 8000


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["serving", "compile", "onnx"])
def test_runtimes_are_measured_beside_torch_and_compute_the_same(runtime):
    if runtime == "compile" and shutil.which("g++") is None:
        pytest.skip("there is no C++ compiler")
    found, _ = measured(read(small_spec(), CATALOGUE), runtimes=["torch", runtime])
    assert set(found.times) == {"torch", runtime}
    assert found.differences[runtime] < 1e-4
    assert found.prepared[runtime] > 0


@pytest.mark.slow
def test_exits_of_the_exported_file_are_shut_like_those_of_the_model():
    """With thresholds that all samples exceed, the file would stop at its first exit."""
    fusion = "{type: gated, from: [image, text], depth: 2, heads: 2, halting: {type: confidence, threshold: 0.01, head: label}}"
    found, _ = measured(read(small_spec(fusion=fusion), CATALOGUE), runtimes=["torch", "onnx"])
    assert found.differences["onnx"] < 1e-4
    assert "every sample runs to the last exit" in found.notes


def test_without_a_compiler_torch_compile_is_said_to_be_missing(monkeypatch):
    from torch._inductor import cpp_builder

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", lambda: "no-such-compiler")
    with pytest.raises(Missing, match=r"needs a C\+\+ compiler, and there is no no-such-compiler"):
        compiled(nn.Identity(), {"input": torch.zeros(1)}, {})


def test_a_runtime_that_fails_leaves_the_others(monkeypatch):
    def fails(*_):
        raise Missing("not here")

    monkeypatch.setattr("mmspec.measuring.measure.exported", fails)
    found, _ = measured(read(small_spec(), CATALOGUE), runtimes=["torch", "onnx"])
    assert set(found.times) == {"torch"} and found.missing == {"onnx": "not here"}
    with pytest.raises(UserError, match="not here"):
        measured(read(small_spec(), CATALOGUE), runtimes=["onnx"])


def test_runtimes_are_named_and_a_wrong_name_is_told_the_nearest():
    assert runtimes_of([]) == ("torch",)
    assert runtimes_of(["onnx", "torch", "onnx"]) == ("onnx", "torch")
    assert runtimes_of(["all"]) == runtimes.RUNTIMES
    with pytest.raises(UserError, match="did you mean 'compile'"):
        runtimes_of(["compiled"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_that_is_not_there_is_said():
    with pytest.raises(UserError, match="nothing to measure on cuda"):
        check_device("cuda")


def test_what_does_not_fit_is_refused_with_both_figures_before_it_is_built(monkeypatch):
    monkeypatch.setattr("mmspec.measuring.measure.build", lambda spec: pytest.fail("built"))
    with pytest.raises(UserError, match=r"276 GB of weights.* of memory are free"):
        measured(mmspec.load("llama_70b"))
