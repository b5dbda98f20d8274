"""What somebody else wrote into a package is told as a line that a terminal can show, whatever it is."""

import json
import os

import numpy as np
import pytest
import safetensors.numpy

import mmspec
from mmspec.cli.entry import run
from mmspec.packaged.answers import compared
from mmspec.packaged.verify import LINE, plain

ESCAPE = "\x1b[2J\x1b]0;owned\x07"


@pytest.fixture
def folder(tmp_path):
    """A package of a manifest alone, and of what a test changes in that."""

    def write(**said):
        record = {"format": 1, "files": {}, "runs": "onnx/model.onnx", "identity": "0" * 64, "model": "small"}
        (tmp_path / "manifest.json").write_text(json.dumps(record | said))
        return tmp_path

    return write


@pytest.mark.parametrize(
    "said",
    [
        {"identity": {"a": 1}, "model": ["x"]},
        {"identity": 7, "model": 7},
        {"identity": ESCAPE, "model": ESCAPE},
        {"runs": ESCAPE},
        {"files": {ESCAPE: {"bytes": 1, "sha256": "0" * 64}}},
    ],
    ids=["objects", "numbers", "escapes", "a file that runs", "a path"],
)
def test_a_manifest_of_anything_is_a_package_that_is_wrong(said, folder, capsys):
    package = str(folder(**said))
    for options in ([], ["--json"]):
        assert run(["verify", package, *options]) == 1
        printed = capsys.readouterr()
        assert printed.err == "" and all(line.isprintable() for line in printed.out.splitlines())


def test_a_file_whose_name_is_no_text_is_named(folder, capsys):
    package = folder()
    with open(os.fsencode(package) + b"/\xff\x1b[31m", "wb"):
        pass
    (first, *_) = mmspec.verify(package).problems
    assert first == r"\udcff\x1b[31m is not in manifest.json"
    assert run(["verify", str(package)]) == 1
    capsys.readouterr().out.encode()


def test_a_line_is_of_bounded_length():
    assert plain("small") == "small"
    assert plain("a\nb\0") == r"a\nb\x00"
    assert len(plain("x" * 10**6)) <= LINE + 4


@pytest.mark.parametrize(
    ("answer", "judged", "words"),
    [(1.0, [True, False], None), (np.nan, [True, True], "label is off by nan"), (1.0, [False, False], "no answer")],
)
def test_golden_answers_that_are_no_numbers_or_that_nobody_compares_are_wrong(answer, judged, words, tmp_path):
    arrays = {"0.inputs.x": np.ones((2, 1), np.float32), "0.outputs.label": np.ones((2, 1), np.float32)}
    safetensors.numpy.save_file(arrays | {"0.judged": np.array(judged)}, tmp_path / "golden.safetensors")
    (tmp_path / "onnx").mkdir()
    contract = {"inputs": {"x": {}}, "outputs": {"label": {"tolerance": {"absolute": 1e-5, "relative": 1e-4}}}}
    errors = {}
    load = lambda path, threads: lambda inputs: {"label": np.full((2, 1), answer, np.float32)}  # noqa: E731
    problems = list(compared(tmp_path, "onnx/model.onnx", contract, errors, load))
    assert (problems == []) if words is None else (words in problems[0])
