"""Shipped specs are what their headers say."""

import re
from pathlib import Path

import pytest

import mmspec
from mmspec import shipped
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


def test_a_spec_bears_the_name_of_its_file():
    assert [mmspec.load(name).name for name in NAMES] == list(NAMES)
