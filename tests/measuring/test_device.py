"""This machine as a device: roofs are what was reached, and the file is a device like any other."""

import time

import pytest
import torch

import mmspec
from mmspec.cost.devices import read_device
from mmspec.measuring import device as module
from mmspec.measuring.device import MeasuredDevice, Roof, measure_device
from mmspec.measuring.machine import this_machine
from mmspec.measuring.times import Times


@pytest.fixture(scope="module")
def found():
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "SIDES", (256, 512))
    patch.setattr(module, "last_cache", lambda: 1 << 22)
    yield measure_device(1, 1.0)
    patch.undo()


def test_the_roof_is_the_best_that_was_reached(found):
    for roof in (*found.peaks.values(), found.bandwidth):
        assert roof.best == max(roof.tried.values()) == roof.tried[roof.way]
    assert set(found.bandwidth.tried) == {"read", "copy", "triad"}


def test_no_product_measured_afterwards_is_far_above_the_roof(found):
    """A product of another size, timed here: a roof in the wrong unit would be off by powers of ten."""
    a, b = torch.randn(384, 384), torch.randn(384, 384)
    best = min(_seconds(lambda: a @ b) for _ in range(20))
    assert 0.02 < (2 * 384**3 / best) / found.peaks["fp32"].best < 3


def _seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def test_the_file_is_a_device_with_the_machine_and_its_figures(found, tmp_path):
    path = tmp_path / "here.yaml"
    path.write_text(found.to_yaml())
    device = read_device(str(path))
    assert device.machine == this_machine(1).to_dict()
    assert device.bandwidth == pytest.approx(found.bandwidth.best, rel=1e-3)
    assert device.peak("fp32") == pytest.approx(found.peaks["fp32"].best, rel=1e-3)
    assert device.peak("fp32") >= found.peaks["fp32"].best  # rounded up: a roof is not below what was reached
    assert "measured" in str(device.peaks["fp32"].source)
    price = mmspec.profile(mmspec.load("fusion_gated"), device=str(path))
    assert price["roofline.lower_bound_ms"] > 0


def test_a_type_without_a_kernel_has_no_roof_and_the_file_says_why(monkeypatch):
    def peak(precision, seconds):
        if precision == "int8":
            raise RuntimeError("not implemented")
        return Roof({"matmul 256": {"fp16": 1e9}.get(precision, 1e11)}, {"matmul 256": 0.01})

    monkeypatch.setattr(module, "_peak", peak)
    monkeypatch.setattr(module, "_bandwidth", lambda seconds: Roof({"read": 1e10}, {"read": None}))
    monkeypatch.setattr(module, "_overhead", lambda seconds: {"operation": Times((1e-6,)), "module": Times((1e-6,))})
    found = measure_device(1, 1.0)
    assert set(found.peaks) == {"fp64", "fp32", "bf16"}
    assert "no kernel" in found.absent["fp16"] and "not implemented" in found.absent["int8"]


def test_a_name_with_quotes_is_still_a_file(tmp_path):
    machine = this_machine(1).__class__('an "odd": {name}', 2, 1, "2.13", "Linux")
    roof = Roof({"read": 1e10}, {"read": 0.02})
    device = MeasuredDevice(machine, "2026-01-01", 10**10, 10**7, {"fp32": roof}, {}, roof, {})
    (tmp_path / "odd.yaml").write_text(device.to_yaml())
    assert read_device(str(tmp_path / "odd.yaml")).machine["cpu"] == 'an "odd": {name}'
