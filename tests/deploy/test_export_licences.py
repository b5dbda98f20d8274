"""The licence of mmspec's files is not that of weights and data: theirs are handed over, or are not stated."""

import json
from dataclasses import replace

import pytest
import small_exports as small

import mmspec
from mmspec.backend import build
from mmspec.backend.folder import write_folder
from mmspec.cli.entry import run
from mmspec.deploy.contents import write_package
from mmspec.deploy.licences import read_licences
from mmspec.deploy.package import report_of, run_elsewhere
from mmspec.deploy.page import render
from mmspec.deploy.subject import subject_of
from mmspec.errors import UserError

KEY = "licence_of_weights_and_data"


@pytest.fixture
def theirs(tmp_path):
    for name in ("weights.txt", "tokenizer.txt"):
        (tmp_path / name).write_text(f"You may use this: {name}\n")
    return [tmp_path / "weights.txt", tmp_path / "tokenizer.txt"]


def said(folder):
    """What manifest and report say of it."""
    manifest, report = (json.loads((folder / name).read_text()) for name in ("manifest.json", "verification.json"))
    assert manifest["provenance"][KEY] == report["model"][KEY]
    return report["model"][KEY]


@pytest.mark.slow
def test_licences_that_are_handed_over_lie_in_the_package_and_are_named(package, flagship, theirs, tmp_path):
    assert said(package.folder) == "not stated" and not (package.folder / "licences").exists()
    assert "Licence of weights and data: not stated." in render(package)
    draft = replace(flagship, subject=replace(flagship.subject, licences=read_licences(theirs)))
    report, content = report_of(draft, (), package.parity, tmp_path / "package", {})
    write_package(report, content, draft.subject, run_elsewhere)
    assert said(report.folder) == "licences/weights.txt, licences/tokenizer.txt" and said(report.folder) in render(
        report
    )
    for path in theirs:
        assert (report.folder / "licences" / path.name).read_bytes() == path.read_bytes()
    (report.folder / "licences" / "weights.txt").write_text("You may use this: weights.txt!")
    assert any("licences/weights.txt was changed" in problem for problem in mmspec.verify(report.folder).problems)


def test_a_folder_hands_its_licences_on(theirs, tmp_path):
    spec = small.spec({"joint": "type: concat, depth: 1"}, {"label": "from: joint"})

    def beside(folder):
        (folder / "licences").mkdir()
        (folder / "licences" / "weights.txt").write_bytes(theirs[0].read_bytes())

    write_folder(spec, build(spec), tmp_path / "built", beside)
    known = subject_of(tmp_path / "built").licences
    assert list(known) == ["licences/weights.txt"]
    assert list(read_licences(theirs, known)) == [
        "licences/weights.txt",
        "licences/tokenizer.txt",
    ]  # the same one again
    theirs[0].write_text("another")
    with pytest.raises(UserError, match=r"two licences are called 'weights\.txt'"):
        read_licences(theirs[0], known)


def test_a_licence_that_cannot_be_copied_is_told_before_there_is_anything_to_export(theirs, tmp_path, capsys):
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(b" ")
    with open(tmp_path / "large", "r+b") as file:
        file.truncate(5 << 20)
    (tmp_path / "a:b").write_text("text")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "WEIGHTS.txt").write_text("other")
    for given, words in (
        (["nowhere.txt"], "nowhere.txt is missing"),
        ([tmp_path], f"{tmp_path} is no file"),
        (["/dev/zero"], "/dev/zero is no file"),
        ([tmp_path / "empty"], "empty has 0 bytes"),
        ([tmp_path / "large"], "large has 5,242,880 bytes, where 1 to 4,194,304 are taken"),
        ([tmp_path / "a:b"], "cannot be called 'a:b'"),
        ([*theirs, tmp_path / "more" / "WEIGHTS.txt"], "two licences are called 'WEIGHTS.txt'"),
    ):
        with pytest.raises(UserError) as caught:
            read_licences(given)
        assert words in str(caught.value)
    command = [
        "export",
        "fusion_gated",
        "--target",
        "edge_cpu_fp32",
        "--licence",
        "nowhere.txt",
        "-o",
        str(tmp_path / "out"),
    ]
    assert run(command) == 2 and not (tmp_path / "out").exists()
    assert "error: the licence nowhere.txt is missing" in capsys.readouterr().err
