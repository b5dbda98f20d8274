"""What a user gets for what cannot work: a located message or one line, exit 2, no traceback, nothing half-written."""

import errno
import os
import re
from pathlib import Path

import pytest

from mmspec.cli import entry
from mmspec.cli.commands import build as build_command

from .conftest import SMALL

VIT = "width: 16, depth: 1, heads: 2}\n  text"
WRONG = {  # what is wrong: (the file, what is said, the text that the caret stands under)
    "unknown key": (SMALL.replace("patch_size", "patch_sise"), "did you mean 'patch_size'?", "patch_sise"),
    "unknown section": (SMALL.replace("encoders:", "encodres:"), "did you mean 'encoders'?", "encodres"),
    "wrong type": (SMALL.replace(VIT, VIT.replace("16", "'16'")), "expected a whole number", "'16'"),
    "missing section": (SMALL.replace("inputs:", "variants:"), "inputs", None),
    "misspelt reference": (SMALL.replace("[image, text]", "[image, txet]"), "did you mean 'text'?", "txet"),
    "cycle": (SMALL.replace(VIT, VIT.replace("2}", "2, from: joint}")), "cycle", None),
    "empty file": ("", "", None),
    "duplicate key": (SMALL + "name: again\n", "stands twice", "name: again"),
    "tag": (SMALL.replace("size: 16", "size: !!python/object/apply:os.system [ls]"), "tags are not read", None),
    "alias bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchors (&) are not read", None),
    "width 0": (
        SMALL.replace(VIT, VIT.replace("16", "0")),
        "must be greater than 0, found 0",
        "0, depth: 1, heads: 2}\n  text",
    ),
    "depth -1": (
        SMALL.replace("depth: 1, heads: 2}\nheads", "depth: -1, heads: 2}\nheads"),
        "greater than 0, found -1",
        "-1",
    ),
    "heads that do not divide": (
        SMALL.replace(VIT, VIT.replace("2}", "3}")),
        "3 heads do not divide the width 16",
        "3}",
    ),
    "patch larger than image": (
        SMALL.replace("patch_size: 8", "patch_size: 32"),
        "patches of 32 do not tile",
        "32, width",
    ),
    "domain without choice": (SMALL.replace("classes: 12", "classes: {choice: []}"), "at least one choice", "[]"),
    "not a mapping": ("- 1\n- 2\n", "expected a mapping", "- 1"),
    "not YAML": ("name: [a\n", "cannot read this as YAML", None),
}


def place_of(fragment, text):
    before = text[: text.index(fragment)]
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("command", ["validate", "build"])
def test_a_wrong_spec_is_told_what_and_where(mmspec, what, command):
    text, said, fragment = WRONG[what]
    Path("wrong.yaml").write_text(text)
    result = mmspec(command, "wrong.yaml")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert said in result.err
    if fragment:
        assert f"--> wrong.yaml:{place_of(fragment, text)}\n" in result.err
    assert not Path("build").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00", ""),
        ("name: f\xfcr\n".encode("latin-1"), "UTF-8"),
        (b"a: [" * 10_000, ""),
        (b"x" * (50 << 20), "at most"),
    ],
    ids=["binary", "not UTF-8", "10,000 deep", "50 MB"],
)
def test_a_hostile_file_is_one_error(mmspec, content, said):
    Path("hostile.yaml").write_bytes(content)
    result = mmspec("validate", "hostile.yaml")
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert len(result.err) < 2000


@pytest.mark.parametrize("path", ["nothing.yaml", "folder", "nothing_of_the_kind"])
def test_a_path_that_cannot_be_read_is_named(mmspec, path):
    Path("folder").mkdir()
    result = mmspec("validate", path)
    assert result.code == 2
    assert path in result.err


def test_a_user_s_brackets_are_never_markup(mmspec):
    name = "[bold]x[y].yaml"
    Path(name).write_text(SMALL.replace("[image, text]", "['[/red]', text]"))
    result = mmspec("validate", name)
    assert result.code == 2
    assert name in result.err
    assert "'[/red]'" in result.err


def test_an_override_that_leads_nowhere_names_the_nearest(mmspec):
    result = mmspec("profile", "small.yaml", "--set", "fusion.joint.dept=3")
    assert result.code == 2
    assert "did you mean 'depth'?" in result.err


def test_what_cannot_fit_is_priced_and_not_built(mmspec):
    huge = ["--set", "encoders.image.width=2000000", "--set", "encoders.image.depth=100"]
    priced = mmspec("profile", "small.yaml", *huge)
    assert priced.code == 0
    assert int(re.search(r"total +([\d,]+)", priced.out)[1].replace(",", "")) > 10**15
    refused = mmspec("build", "small.yaml", *huge)
    assert refused.code == 2
    assert refused.err.startswith("error: ")
    assert not Path("build").exists()


@pytest.mark.parametrize("arguments", [[], ["small.yaml"]])
def test_a_missing_or_unknown_argument_is_a_usage_error(mmspec, arguments):
    result = mmspec("build", *arguments, "--nonsense")
    assert (result.code, result.out) == (2, "")
    assert "try: mmspec build --help" in result.err


def test_an_unknown_command_names_the_nearest(mmspec):
    result = mmspec("biuld", "x")
    assert result.code == 2
    assert "did you mean 'build'?" in result.err


# folders and disks ---------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_ours_is_left_alone(mmspec):
    Path("theirs").mkdir()
    Path("theirs/thesis.tex").write_text("years")
    result = mmspec("build", "small.yaml", "-o", "theirs")
    assert result.code == 2
    assert "mmspec did not write" in result.err
    assert [path.name for path in Path("theirs").iterdir()] == ["thesis.tex"]
    Path("file").write_text("x")
    assert mmspec("build", "small.yaml", "-o", "file").code == 2


def test_our_own_folder_is_replaced_whole(mmspec):
    assert mmspec("build", "small.yaml", "-o", "ours").code == 0
    Path("ours/left_over").write_text("x")
    assert mmspec("build", "small.yaml", "-o", "ours").code == 0
    assert not Path("ours/left_over").exists()


def test_a_full_disk_is_one_line_and_changes_nothing(mmspec, monkeypatch):
    assert mmspec("build", "small.yaml", "-o", "ours").code == 0
    before = Path("ours/model.safetensors").read_bytes()
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device"))
    )
    result = mmspec("build", "small.yaml", "-o", "ours", "--seed", 5)
    assert result.code == 1
    assert result.err.strip().splitlines() == [result.err.strip()]
    assert "no space left on the disk" in result.err
    assert Path("ours/model.safetensors").read_bytes() == before
    assert sorted(path.name for path in Path().iterdir()) == ["ours", "small.yaml"]


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "no space left on the disk"), (errno.EFBIG, "a file would be larger than may be written here")],
)
def test_a_disk_that_fills_up_in_the_middle_leaves_nothing(number, said, mmspec, monkeypatch):
    import safetensors.torch

    import mmspec.backend.folder as folder

    def full(*_, **__):
        raise OSError(number, os.strerror(number), "model.safetensors")

    monkeypatch.setattr(folder, "save_file", full)
    assert safetensors.torch.save_file is not full
    result = mmspec("build", "small.yaml", "-o", "new")
    assert result.code == 1
    assert said in result.err
    assert sorted(path.name for path in Path().iterdir()) == ["small.yaml"]


# ours ----------------------------------------------------------------------------------------------------------------


def test_our_own_mistake_is_one_line_and_a_traceback_only_when_asked(mmspec, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("something\nwith two lines")

    monkeypatch.setattr(build_command, "opened", broken)
    result = mmspec("build", "small.yaml")
    assert result.code == 1
    assert result.err.splitlines()[0] == "mmspec: internal error: RuntimeError: something with two lines"
    assert "MMSPEC_TRACEBACK=1" in result.err
    assert "Traceback" in mmspec("--traceback", "build", "small.yaml").err


def test_ctrl_c_is_exit_2_and_a_word(mmspec, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(build_command, "opened", interrupted)
    result = mmspec("build", "small.yaml")
    assert result.code == 2
    assert result.err.strip() == "stopped"


def test_a_failure_that_is_not_the_users_is_exit_1(mmspec, monkeypatch):
    from mmspec.errors import Failure

    def failed(*_, **__):
        raise Failure("the file answers differently from the model")

    monkeypatch.setattr(build_command, "opened", failed)
    result = mmspec("build", "small.yaml")
    assert (result.code, result.err) == (1, "error: the file answers differently from the model\n")
    assert entry.run(["--version"]) == 0
