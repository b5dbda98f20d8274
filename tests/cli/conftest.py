"""A command line run in this process: exit code, stdout, stderr."""

from collections import namedtuple

import pytest
from small_spec import small_spec

from mmspec.cli.entry import run

Result = namedtuple("Result", "code out err")

SMALL = small_spec()


@pytest.fixture
def mmspec(capsys, tmp_path, monkeypatch):
    """`mmspec("profile", "small.yaml")`, in an empty folder that holds one small spec."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)

    def call(*arguments):
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err or "--traceback" in arguments
        return Result(code, out, err)

    return call
