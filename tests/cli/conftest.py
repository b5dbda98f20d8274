"""A command line run in this process: exit code, stdout, stderr."""

from collections import namedtuple

import pytest

from mmspec.cli.entry import run

Result = namedtuple("Result", "code out err")

SMALL = """\
name: small
inputs:
  image: {type: image, size: 16, channels: 1}
  text: {type: text, vocab_size: 257, length: 32}
encoders:
  image: {type: vit, patch_size: 8, width: 16, depth: 1, heads: 2}
  text: {type: text_transformer, width: 16, depth: 1, heads: 2}
fusion:
  joint: {type: cross_attention, from: [image, text], depth: 1, heads: 2}
heads:
  label: {type: classification, classes: 12}
objectives:
  - {type: cross_entropy, target: answer}
"""


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
