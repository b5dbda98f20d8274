"""Shipped specs are what their headers say."""

import re
from pathlib import Path

import pytest

import mmspec
from mmspec import shipped
from mmspec.testing import check_spec

NAMES = shipped.names("specs")


@pytest.mark.parametrize("name", NAMES)
def test_the_header_states_the_price_and_the_command(name):
    path = shipped.find("specs", name)
    header = "".join(line for line in Path(path).read_text().splitlines(keepends=True) if line.startswith("#"))
    parameters, flops = re.search(r"Expected +([\d,]+) parameters, ([\d,]+) FLOPs", header).groups()
    price = mmspec.profile(mmspec.load(name))
    assert price["parameters.total"] == int(parameters.replace(",", ""))
    assert price["flops.total"] == int(flops.replace(",", ""))
    assert f"mmspec build specs/{name}.yaml" in header
    assert "Source " in header


@pytest.mark.parametrize("name", NAMES)
def test_graph_price_module_and_source_agree(name):
    check_spec(mmspec.load(name), gradients=False)  # those are checked for each component


def test_a_spec_bears_the_name_of_its_file():
    assert [mmspec.load(name).name for name in NAMES] == list(NAMES)
