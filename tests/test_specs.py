"""Shipped specs are what their headers say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import mmspec
from mmspec import shipped
from mmspec.errors import UserError
from mmspec.testing import check_spec

NAMES = shipped.names("specs")
BUILT_WHOLE = 5_000_000  # parameters; what has more is built as its variant `small`


def header_of(name):
    path = Path(shipped.find("specs", name))
    return "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))


def number(text):
    return int(text.replace(",", ""))


@pytest.mark.parametrize("name", NAMES)
def test_the_header_states_the_price_and_the_command(name):
    header = header_of(name)
    parameters, flops, rest = re.search(
        r"Expected +([\d,]+) parameters, ([\d,]+) FLOPs at batch 1(.*)", header
    ).groups()
    tokens = re.match(r" and ([\d,]+) tokens", rest)  # else all texts are as long as they may be
    price = mmspec.profile(mmspec.load(name), **({"N": number(tokens[1])} if tokens else {}))
    assert price["parameters.total"] == number(parameters)
    assert price["flops.total"] == number(flops)
    assert re.search(rf"mmspec (build|profile) specs/{name}\.yaml", header)
    assert "Source " in header


@pytest.mark.parametrize("name", NAMES)
def test_graph_price_module_and_source_agree(name):
    spec = mmspec.load(name)
    if mmspec.profile(spec)["parameters.total"] > BUILT_WHOLE:
        spec = mmspec.load(name, variant="small")
        assert mmspec.profile(spec)["parameters.total"] < BUILT_WHOLE / 5
    check_spec(spec, gradients=False)  # those are checked for each component


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the memory of a process is read as Linux tells it")
def test_every_spec_is_priced_in_a_blink_and_without_torch():
    answer = subprocess.run([sys.executable, "-c", PRICED], check=True, capture_output=True, text=True).stdout
    slowest, bytes_at_most, torch_is_there = answer.split()
    assert float(slowest) <= 0.4, "seconds of the processor for one spec"
    assert int(bytes_at_most) <= 120e6
    assert torch_is_there == "False"


PRICED = """
import sys, time, mmspec
from mmspec import shipped
slowest = 0.0
for name in shipped.names("specs"):
    start = time.process_time()
    mmspec.profile(mmspec.load(name))["flops.total"]
    slowest = max(slowest, time.process_time() - start)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))  # what getrusage says begins with our parent's
print(slowest, 1024 * int(status["VmHWM"].split()[0]), "torch" in sys.modules)
"""


@pytest.mark.parametrize("name", ["llama_70b", "mixtral_8x7b"])
def test_what_does_not_fit_into_memory_is_refused_in_a_line(name, monkeypatch):
    monkeypatch.setattr(sys.modules["mmspec.backend.build"], "memory_bytes", lambda: 80 * 10**9)
    with pytest.raises(UserError, match=rf"^{name} has [\d,]+ parameters, \d+ GB of weights; this machine has 80 GB"):
        mmspec.build(mmspec.load(name))


def test_a_spec_bears_the_name_of_its_file():
    assert [mmspec.load(name).name for name in NAMES] == list(NAMES)
