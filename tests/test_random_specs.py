"""What the compiler says, torch confirms: for specs that nobody wrote."""

import pytest
from random_specs import random_spec

from mmspec.components import CATALOGUE
from mmspec.passes import lower
from mmspec.spec import read
from mmspec.testing import check_spec

SPECS = 240
BATCH = 20  # specs to a test, so that two processes share them evenly


@pytest.mark.parametrize("first", range(0, SPECS, BATCH))
def test_graph_price_module_and_source_agree_on_random_specs(first: int) -> None:
    for seed in range(first, first + BATCH):
        check_spec(random_spec(seed), gradients=False)


@pytest.mark.parametrize("seed", range(40))
def test_a_resolved_spec_means_the_same(seed: int) -> None:
    spec = random_spec(seed)
    again = read(spec.to_yaml(), CATALOGUE)
    from mmspec.testing import structure

    assert structure(lower(again)) == structure(lower(spec))
