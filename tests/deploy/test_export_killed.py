"""Whatever stops the writing of a package, at whichever write: what lies at its place is whole, or is not there."""

import errno
import os
import signal
from pathlib import Path

import pytest

from mmspec.deploy.contents import write_package
from mmspec.errors import Failure
from mmspec.packaged.judging import judge

pytestmark = pytest.mark.slow
STEPS = ((Path, "write_bytes"), (Path, "write_text"), (os, "fsync"), (os, "replace"))


@pytest.fixture
def write(package, flagship):
    """Writes the flagship's package, as often as is asked."""
    content = {
        path.relative_to(package.folder).as_posix(): path.read_bytes()
        for path in package.folder.rglob("*")
        if path.is_file() and path.name not in (".mmspec", "manifest.json") and not path.match("data/*")
    }

    def call(folder):
        from dataclasses import replace

        write_package(replace(package, folder=folder), content, flagship.subject)

    return call


def stopping(patch, at, stop):
    """The step of that number, from 1, is `stop`; returns how often a step was asked for."""
    asked = [0]

    def wrapped(original):
        def step(*args, **kwargs):
            asked[0] += 1
            if asked[0] == at:
                stop()
            return original(*args, **kwargs)

        return step

    for owner, name in STEPS:
        patch.setattr(owner, name, wrapped(getattr(owner, name)))
    return asked


def steps(write, folder):
    with pytest.MonkeyPatch.context() as patch:
        asked = stopping(patch, 0, lambda: None)
        write(folder)
    return asked[0]


def test_a_disk_that_is_full_at_any_write_is_told_and_leaves_nothing(write, tmp_path):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    count = steps(write, tmp_path / "whole")
    assert count > 20 and judge(tmp_path / "whole")["problems"] == []
    for at in range(1, count - 1):  # the last two rename it and flush the folder that it is in
        with pytest.MonkeyPatch.context() as patch:
            stopping(patch, at, full)
            with pytest.raises(Failure, match="no space left on the disk"):
                write(tmp_path / "package")
        assert [path.name for path in tmp_path.iterdir()] == ["whole"], f"step {at} of {count} left something behind"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is forked for each kill")
def test_killed_at_any_write_no_package_that_is_not_whole_is_there(write, tmp_path):
    for at in range(1, steps(write, tmp_path / "whole") + 1):
        place = tmp_path / f"killed_{at}"
        child = os.fork()
        if child == 0:
            stopping(pytest.MonkeyPatch(), at, lambda: os.kill(os.getpid(), signal.SIGKILL))
            write(place)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert not place.exists() or judge(place)["problems"] == [], f"killed at step {at}"
