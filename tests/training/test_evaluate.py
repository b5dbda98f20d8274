"""The user's own judge: a command or a function, its answer, and its failures in a line or two."""

import sys
import time
from pathlib import Path

import pytest

from mmspec.errors import UserError
from mmspec.training import Evaluation


def command(code, **options):
    return Evaluation(command=[sys.executable, "-c", code], **options)


def test_a_command_gets_the_folder_last_and_answers_on_its_last_line(tmp_path):
    code = "import sys, json; print('talk'); print(json.dumps({'accuracy': 0.5, 'given': sys.argv[1:]}))"
    assert command(code).metrics(tmp_path) == {"accuracy": 0.5, "given": [str(tmp_path)]}


def test_a_command_runs_where_its_study_lies(tmp_path):
    (tmp_path / "judge.py").write_text("print('{\"accuracy\": 1}')")
    (tmp_path / "model").mkdir()
    assert Evaluation(command=[sys.executable, "judge.py"]).metrics(tmp_path / "model", beside=tmp_path) == {
        "accuracy": 1
    }


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('hello')", "the last line is not a JSON object: hello"),
        ("pass", "printed nothing"),
        ("print('[1]')", "gave list"),
        ("print('{\"accuracy\": NaN}')", "accuracy is nan; a finite number is wanted"),
        ("raise SystemExit(3)", "failed with exit code 3"),
        ("raise ValueError('no weights')", "ValueError: no weights"),
    ],
)
def test_a_command_that_fails_says_how(tmp_path, code, message):
    with pytest.raises(UserError, match=message) as error:
        command(code).metrics(tmp_path)
    assert len(str(error.value).splitlines()) <= 6


def test_a_command_that_is_not_there_cannot_be_started(tmp_path):
    with pytest.raises(UserError, match="no-such-judge cannot be started: No such file"):
        Evaluation(command=["no-such-judge"]).metrics(tmp_path)


def test_a_command_that_takes_too_long_is_stopped_with_all_that_it_started(tmp_path):
    code = f"import subprocess, time; p = subprocess.Popen(['sleep', '60']); open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); time.sleep(60)"
    began = time.monotonic()
    with pytest.raises(UserError, match=r"it took more than 1 s"):
        command(code, timeout_s=1.0).metrics(tmp_path)
    assert time.monotonic() - began < 20
    child = int((tmp_path / "pid").read_text())
    for _ in range(50):
        stat = Path(f"/proc/{child}/stat")
        state = stat.read_text().split()[2] if stat.exists() else "gone"
        if state in ("Z", "gone"):
            break
        time.sleep(0.1)
    assert state in ("Z", "gone")


@pytest.fixture
def judge(tmp_path):
    """A module of the user's, beside a study."""

    def write(body):
        name = f"judge_{abs(hash(str(tmp_path)))}"
        (tmp_path / f"{name}.py").write_text(f"def accuracy_of(folder):\n    {body}\n")
        return Evaluation(python=f"{name}:accuracy_of")

    return write


def test_a_function_is_called_with_the_folder(judge, tmp_path):
    assert judge("return {'accuracy': 0.25, 'name': folder.name}").metrics(tmp_path, tmp_path) == {
        "accuracy": 0.25,
        "name": tmp_path.name,
    }
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 0.5", "gave float; a mapping"),
        ("return {'accuracy': folder}", "gave what is not JSON"),
        ("return {'accuracy': float('inf')}", "accuracy is inf"),
        ("raise KeyError('weights')", r"raised KeyError: 'weights' \(.*\.py:2\)"),
    ],
)
def test_a_function_that_fails_says_where(judge, tmp_path, body, message):
    with pytest.raises(UserError, match=message) as error:
        judge(body).metrics(tmp_path, tmp_path)
    assert len(str(error.value).splitlines()) == 1


def test_a_function_that_is_not_there_cannot_be_imported(tmp_path):
    with pytest.raises(UserError, match="cannot be imported"):
        Evaluation(python="no_such_module:f").metrics(tmp_path)


@pytest.mark.parametrize("fields", [{}, {"command": ["a"], "python": "a:b"}, {"command": []}, {"python": "a.b"}])
def test_it_is_either_a_command_or_a_function(fields):
    with pytest.raises(ValueError):
        Evaluation(**fields)
