"""Every component of the catalogue keeps the contract."""

import pytest

from mmspec.components import BUILT_IN
from mmspec.components.halting.confidence import Confidence
from mmspec.components.pools import NoPool
from mmspec.spec import Component
from mmspec.testing import check_component

ALTERNATIVES = {
    "width": 24,
    "patch_size": 8,
    "pad": 3,
    "halting": {"type": "confidence", "head": "label"},
    "position": "none",
    "expansion": 2.0,
    "experts": 5,
    "k": 1,
    "target": "reply",
}
IMPOSSIBLE = {NoPool: "it is an error on tokens, which the diagnostics' tests show"}


@pytest.mark.parametrize(
    "component", [c for c in BUILT_IN if c not in IMPOSSIBLE], ids=lambda c: f"{c.role}-{c.__name__}"
)
def test_a_component_keeps_the_contract(component: type[Component]) -> None:
    fields = {"head": "label"} if component is Confidence else {}
    check_component(
        component, fields, {key: value for key, value in ALTERNATIVES.items() if key in set(component.keys())}
    )
