"""What was measured is kept for the machine that it was measured on, and used with a warning on another."""

import json

import pytest

import mmspec
from mmspec.cost import Sizes
from mmspec.errors import UserError
from mmspec.measuring import calibration as module
from mmspec.measuring.calibration import Calibration, Taken, calibrate, calibration_here, read_calibration
from mmspec.measuring.estimate import estimated
from mmspec.measuring.machine import Machine, foreign, last_cache, this_machine
from mmspec.measuring.schedule import schedule

HERE = this_machine(1)


@pytest.fixture
def small():
    graph = mmspec.lower(mmspec.load("vit_b16", variant="small"))
    return graph, Sizes({"B": 1})


def test_a_machine_is_its_processor_its_cores_its_threads_and_its_torch():
    other = HERE.to_dict() | {"cpu": "another", "torch": "2.0"}
    assert HERE.differences(HERE.to_dict()) == []
    assert HERE.differences(other) == [f"cpu another there, {HERE.cpu} here", f"torch 2.0 there, {HERE.torch} here"]
    assert foreign(HERE.to_dict()) == ""
    assert foreign(other).startswith("measured on another machine: cpu another there")
    assert this_machine(1).name != this_machine(2).name
    assert "/" not in Machine("A/B (C) @ 3 GHz", 1, 1, "2.13", "X").name


def test_caches_are_asked_of_the_system_and_assumed_where_it_does_not_tell(tmp_path, monkeypatch):
    for index, size in enumerate(("48K", "2048K", "96M")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(size)
    monkeypatch.setattr("mmspec.measuring.machine.CACHES", tmp_path)
    assert last_cache() == 96 << 20
    monkeypatch.setattr("mmspec.measuring.machine.CACHES", tmp_path / "none")
    assert last_cache() == 32 << 20


def test_operations_are_measured_once_and_then_known(small):
    known = calibration_here(1)
    assert calibrate(*small, known, 0.0) == len({step.key for step in schedule(*small)})
    known.save()
    again = calibration_here(1)
    assert again.operations == known.operations
    assert calibrate(*small, again, 0.0) == 0


def test_models_that_share_operations_share_what_is_known_of_them(small):
    known = calibration_here(1)
    calibrate(*small, known, 0.0)
    deeper = mmspec.lower(mmspec.load("vit_b16", ["encoders.image.depth=3"], variant="small"))
    assert calibrate(deeper, Sizes({"B": 1}), known, 0.0) == 0


def test_saving_keeps_what_others_have_saved_meanwhile(small):
    mine, theirs = calibration_here(1), calibration_here(1)
    mine.operations["mine"] = theirs.operations["theirs"] = Taken("add", 1e-6, 2e-6, None)
    mine.save()
    theirs.save()
    assert {"mine", "theirs"} == set(calibration_here(1).operations)


def test_an_estimate_from_another_machine_says_so(small, tmp_path):
    known = Calibration(HERE.to_dict() | {"cpu": "another"}, {}, tmp_path / "theirs.json")
    calibrate(*small, known, 0.0)
    found = estimated(*small, known)
    assert "another machine: cpu another there" in found.warning
    assert found.to_dict()["warning"] == found.warning


def test_an_estimate_of_what_was_not_measured_there_is_refused(small, tmp_path):
    (tmp_path / "theirs.json").write_text(json.dumps(Calibration(HERE.to_dict()).to_dict()))
    with pytest.raises(UserError, match=r"does not know .* more operations"):
        estimated(*small, read_calibration(tmp_path / "theirs.json"))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 1}', '{"format": 1, "machine": {}, "operations": {"a": {"x": 1}}}']
)
def test_a_file_that_is_no_calibration_is_said_to_be_none(tmp_path, text):
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(UserError, match="no calibration"):
        read_calibration(tmp_path / "file.json")


def test_a_calibration_of_another_format_is_not_guessed_at(tmp_path):
    (tmp_path / "file.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="format 99"):
        read_calibration(tmp_path / "file.json")


def test_weights_are_cold_where_the_model_is_larger_than_the_caches_and_as_warm_as_the_model_s_else(monkeypatch):
    monkeypatch.setattr(module, "last_cache", lambda: 32 << 20)
    assert module.cold_bytes(mmspec.lower(mmspec.load("vit_b16"))) == 64 << 20
    assert module.cold_bytes(mmspec.lower(mmspec.load("fusion_gated"))) == 16 << 20  # of 11.4 MB


def test_what_does_not_fit_is_refused_before_it_is_made(monkeypatch):
    graph = mmspec.lower(mmspec.load("llama_70b"))
    monkeypatch.setattr("mmspec.measuring.room.free_bytes", lambda: 10**9)
    with pytest.raises(UserError, match=r"GB of weights.*1\.00 GB of memory are free"):
        calibrate(graph, Sizes({"B": 1, **graph.limits}), Calibration(HERE.to_dict()), 0.0)
