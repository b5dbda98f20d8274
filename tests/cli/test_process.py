"""The command as a process: what it imports, what a closed pipe, a full disk and Ctrl-C do to it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mmspec.cli import entry

from .conftest import SMALL

COMMAND = [sys.executable, "-c", "from mmspec.cli import main; main()"]
HEAVY = ("torch", "numpy", "optuna", "onnx", "onnxruntime", "networkx", "sympy", "sklearn", "matplotlib", "rich")
LIGHT = {
    "validate": ["validate", "fusion_gated"],
    "validate --json": ["validate", "fusion_gated", "--json"],
    "profile": ["profile", "fusion_gated"],
    "profile --json": ["profile", "fusion_gated", "--json"],
    "profile --depth": ["profile", "fusion_gated", "--depth", "3", "--sort", "time", "--device", "h200"],
    "profile -o": [
        "profile",
        "fusion_gated",
        "--device",
        "h200",
        "-o",
        "x.html",
        "-o",
        "x.csv",
        "-o",
        "x.md",
        "-o",
        "x.json",
        "-o",
        "x.trace.json",
    ],
    "show": ["show", "fusion_gated", "--nested"],
    "explain": ["explain", "gated"],
    "list": ["list"],
    "draw": ["draw", "fusion_gated", "-o", "-"],
    "diff": ["diff", "fusion_gated", "fusion_gated"],
    "schema": ["schema"],
    "schema --profile": ["schema", "--profile"],
    "--version": ["--version"],
    "--help": ["--help"],
}


def run(*arguments, **kwargs):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=120, **kwargs)


@pytest.mark.parametrize("name", LIGHT)
def test_what_only_reads_a_spec_imports_nothing_heavy(name, tmp_path):
    code = f"import sys; from mmspec.cli.entry import run; code = run({LIGHT[name]!r}); print(*sys.modules, sep='\\n', file=sys.stderr); sys.exit(code)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0
    loaded = {module.partition(".")[0] for module in result.stderr.split()}
    assert loaded.isdisjoint(HEAVY)
    assert "mmspec" in loaded


def test_help_does_not_even_import_the_components():
    code = "import sys; from mmspec.cli.entry import run; run(['--help']); sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_reader_that_leaves_is_no_error():
    process = subprocess.Popen(
        [*COMMAND, "show", "fusion_gated", "--nested"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_stdout_is_one_line():
    with open("/dev/full", "w") as full:
        result = subprocess.run([*COMMAND, "schema"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert result.stderr == "error: no space left on the disk\n"


def test_a_pipe_gets_no_colours_and_no_color_is_obeyed():
    assert "\x1b" not in run("profile", "fusion_gated").stdout
    env = {**os.environ, "NO_COLOR": "1"}
    assert "\x1b" not in run("validate", "nothing.yaml", env=env).stderr


@pytest.mark.slow
def test_ctrl_c_in_training_keeps_what_is_done_and_resume_goes_on(tmp_path, monkeypatch):
    (tmp_path / "small.yaml").write_text(SMALL)
    arguments = ["train", "small.yaml", "--steps", "60", "--batch", "8", "-o", "out"]
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listening,
    )
    said = interrupt_after(process, "step ")
    assert process.returncode == 2
    assert "stopped after step" in said
    assert "--resume" in said
    assert "Traceback" not in said
    resumed = run(*arguments, "--resume", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["history"][-1]["step"] == 60
    monkeypatch.chdir(tmp_path)
    assert entry.run([*arguments[:2], "-o", "nowhere", "--resume"]) == 2


@pytest.mark.slow
def test_ctrl_c_in_a_search_keeps_what_is_done_and_resume_goes_on(tmp_path, monkeypatch, capsys):
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "study.yaml").write_text(
        "name: tiny\nbase: small.yaml\nspace: {fusion.joint.depth: {choice: [1, 2, 3, 4]}}\n"
        "maximize: [accuracy]\nminimize: [flops.total]\n"
        "recipe: {data: digits_questions, steps: 2, batch: 8}\nbudget: {trials: 3}\n"
    )
    process = subprocess.Popen(
        [*COMMAND, "search", "study.yaml"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=listening,
    )  # fmt: skip
    said = interrupt_after(process, "accuracy")
    assert process.returncode == 2
    assert "go on with: mmspec search study.yaml --resume" in said
    assert "Traceback" not in said
    monkeypatch.chdir(tmp_path)
    assert entry.run(["search", "study.yaml"]) == 2
    assert "--resume" in capsys.readouterr().err
    resumed = run("search", "study.yaml", "--resume", "--json", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    front = json.loads(resumed.stdout)
    assert len(front["front"]) + len(front["dominated"]) == 3
    assert entry.run(["search", "study.yaml", "--resume"]) == 0
    again = capsys.readouterr().out
    assert "knee" in again
    assert "wrote runs/tiny" in again


def listening():
    """What runs in the background of a script hears no Ctrl-C, and hands that on to its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt_after(process, word):
    """Ctrl-C once the process has said a word; everything that it said."""
    said = []
    for line in process.stderr:
        said.append(line)
        if word in line:
            process.send_signal(signal.SIGINT)
            break
    rest = process.communicate(timeout=120)[1]
    return "".join(said) + rest
