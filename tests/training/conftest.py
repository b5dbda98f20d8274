"""A spec small enough to train in a second, with everything that training must cope with: experts, exits, dropout."""

import pytest
from small_spec import small_spec

from mmspec.components import CATALOGUE
from mmspec.spec import read

FUSION = """
    type: gated
    depth: 2
    heads: 2
    dropout: 0.1
    router: {type: top_k, experts: 3, k: 1, balance: 0.01}
    halting: {type: confidence, threshold: 0.5, head: label}"""
SPEC = small_spec("tiny", FUSION, size=8)


@pytest.fixture
def tiny():
    """The spec, with some values changed: tiny("fusion.joint.dropout=0")."""
    return lambda *overrides: read(SPEC, CATALOGUE, origin="tiny.yaml", overrides=overrides)
