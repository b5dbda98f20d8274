"""`mmspec profile --measure`, `--calibrated` and `mmspec calibrate-device`: what they print, and what they refuse."""

import json

import pytest
import torch

from mmspec.measuring import device as measuring_device
from mmspec.measuring.device import MeasuredDevice, Roof
from mmspec.measuring.machine import Machine, this_machine
from mmspec.measuring.times import Times


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def made_device(machine=None):
    roof = Roof({"read": 4e10}, {"read": 0.02})
    peak = Roof({"matmul 512": 2.5e11}, {"matmul 512": 0.01})
    overhead = {name: Times((1e-6,) * 5) for name in ("operation", "module")}
    return MeasuredDevice(
        machine or this_machine(1), "2026-01-01", 10**10, 10**7, {"fp32": peak}, {"fp16": "no kernel"}, roof, overhead
    )


def test_a_measurement_stands_beside_the_prediction(mmspec):
    result = mmspec("profile", "small.yaml", "--measure", "--seconds", "0.5", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    measured = found["measured"]
    assert measured["runtimes"]["torch"]["runs"] > 5
    assert measured["predicted"]["activations"] == found["memory"]["activations"]
    assert measured["machine"]["threads"] == 1
    assert set(measured["nodes"]["ms"]) == {"image", "text", "joint", "label"}
    assert "calibrated" not in found


def test_what_is_measured_is_what_the_schema_says(mmspec):
    from jsonschema import Draft202012Validator

    schema = json.loads(mmspec("schema", "--profile").out)
    Draft202012Validator.check_schema(schema)
    result = mmspec("profile", "small.yaml", "--measure", "--calibrated", "--seconds", "0.4", "--json")
    Draft202012Validator(schema).validate(json.loads(result.out))
    assert {"measured", "calibrated"} <= json.loads(result.out).keys()


def test_what_is_measured_is_in_the_file_too(mmspec, tmp_path):
    assert mmspec("profile", "small.yaml", "--calibrated", "--seconds", "0.2", "-o", "a.json").code == 0
    assert json.loads((tmp_path / "a.json").read_text())["calibrated"]["minimum_ms"] > 0


def test_an_estimate_is_printed_with_its_operations_and_its_error(mmspec):
    result = mmspec("profile", "small.yaml", "--calibrated", "--seconds", "0.2")
    assert result.code == 0, result.err
    assert "calibrated estimate:" in result.out and "within 10%" in result.out
    again = mmspec("profile", "small.yaml", "--calibrated", "--seconds", "0.2", "--json")
    found = json.loads(again.out)["calibrated"]
    assert found["measured"] == 0 and found["known"] > 10
    assert found["minimum_ms"] == pytest.approx(sum(found["nodes"].values()))
    anew = json.loads(mmspec("profile", "small.yaml", "--again", "--seconds", "0.2", "--json").out)["calibrated"]
    assert anew["known"] == 0 and anew["measured"] == found["known"]


def test_unsteady_times_are_printed_as_ranges_and_said_to_be_so(mmspec, monkeypatch):
    wide = Times((0.0121, 0.0124, 0.0150, 0.0180, 0.0198))
    monkeypatch.setattr("mmspec.measuring.measure.interleaved", lambda runs, *_, **__: _after(runs, wide))
    result = mmspec("profile", "small.yaml", "--measure")
    (row,) = [line for line in result.out.splitlines() if line.startswith("  torch ")]
    assert row.split()[1:5] == ["12.1", "to", "19.8", "ms"]
    assert "12.1 ms" not in result.out and "15.0 ms" not in result.out
    assert "torch is unsteady" in result.out
    nodes = result.out[result.out.index("  node ", result.out.index("  torch ")) :]
    assert " ms" not in nodes.split("fastest run")[0]  # shares alone


def _after(runs, times):
    for run in runs.values():
        run()
    return dict.fromkeys(runs, times)


def test_the_machine_s_own_figures_are_a_device_and_bound_what_is_measured(mmspec, monkeypatch):
    monkeypatch.setattr(measuring_device, "measure_device", lambda *_: made_device())
    assert mmspec("calibrate-device").code == 0
    result = mmspec("profile", "small.yaml", "--measure", "--seconds", "0.2", "--json")
    bound = json.loads(result.out)["measured"]["predicted"]["roofline_s"]
    assert bound == pytest.approx(json.loads(mmspec("profile", "small.yaml", "--json").out)["flops"]["total"] / 2.5e11)
    printed = mmspec("profile", "small.yaml", "--measure", "--seconds", "0.2").out
    assert "lower bound, " in printed and "warning" not in printed


def test_calibrate_device_writes_a_device_where_it_is_told(mmspec, monkeypatch):
    monkeypatch.setattr(measuring_device, "measure_device", lambda *_: made_device())
    result = mmspec("calibrate-device", "-o", "here.yaml", "--json")
    assert json.loads(result.out)["file"] == "here.yaml"
    assert json.loads(result.out)["bandwidth_gb_s"]["best"] == 40
    assert mmspec("devices", "here.yaml").code == 0
    profile = mmspec("profile", "small.yaml", "--device", "here.yaml")
    assert profile.code == 0 and "warning" not in profile.err
    assert mmspec("calibrate-device", "-o", "none/here.yaml").code == 2


def test_a_device_that_was_measured_elsewhere_is_warned_of(mmspec, tmp_path):
    elsewhere = Machine("another processor", 64, 1, "2.13.0", "Linux x86_64")
    (tmp_path / "theirs.yaml").write_text(made_device(elsewhere).to_yaml())
    for command, *more in (["profile"], ["profile", "--measure", "--seconds", "0.2"], ["check"]):
        result = mmspec(command, "small.yaml", "--device", "theirs.yaml", *more)
        assert result.code == 0
        assert "warning: the device" in result.err and "another machine: cpu another processor there" in result.err


REFUSED = {
    "no CUDA": (["--measure", "--on", "cuda"], "nothing to measure on cuda"),
    "a device by name": (["--measure", "--on", "h200"], "measured on cpu or cuda"),
    "no such runtime": (["--measure", "--runtime", "onxn"], "did you mean 'onnx'"),
    "a runtime without --measure": (["--runtime", "onnx"], "needs --measure"),
    "an estimate of CUDA": (["--calibrated", "--on", "cuda"], "estimate of the processor"),
    "again elsewhere": (["--again", "--calibration", "none.json"], "--again measures here"),
    "formulas that are measured": (["--symbolic", "--measure"], "they take no --measure"),
    "no time": (["--measure", "--seconds", "0"], "--seconds"),
    "no threads": (["--measure", "--threads", "0"], "--threads"),
    "no such calibration": (["--calibration", "none.json"], "none.json is no calibration"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_measured_is_said_in_one_line(mmspec, what):
    if what == "no CUDA" and torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    arguments, said = REFUSED[what]
    result = mmspec("profile", "small.yaml", *arguments)
    assert result.code == 2 and said in result.err
    assert result.out == ""


def test_a_model_that_does_not_fit_is_refused_with_both_figures(mmspec):
    result = mmspec("profile", "llama_70b", "--measure")
    assert result.code == 2
    assert "276 GB of weights" in result.err and "of memory are free" in result.err
