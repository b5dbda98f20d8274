"""Every component of the catalogue keeps the contract."""

import pytest

from mmspec.components import CATALOGUE
from mmspec.components.halting.confidence import Confidence
from mmspec.components.pools import NoPool
from mmspec.spec import Component, read
from mmspec.testing import check_component, check_spec

# another value of a field, where half, twice or the next of its kind will not do
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
    "kv_heads": 1,
    "patch_stride": 2,
    "router_every": 2,
}
# what else must be said for a field to say anything
NEEDS = {"router_every": {"router": "top_k"}}
IMPOSSIBLE = {NoPool: "it is an error on tokens, which the diagnostics' tests show"}


@pytest.mark.parametrize(
    "component", [c for c in CATALOGUE if c not in IMPOSSIBLE], ids=lambda c: f"{c.role}-{c.__name__}"
)
def test_a_component_keeps_the_contract(component: type[Component]) -> None:
    fields = {"head": "label"} if component is Confidence else {}
    known = set(component.keys())
    alternatives = {key: value for key, value in ALTERNATIVES.items() if key in known}
    check_component(component, fields, alternatives, {key: value for key, value in NEEDS.items() if key in known})


def test_streams_that_bear_one_name_are_told_apart() -> None:
    streams = "{type: transformer, streams: multi, heads: 2, depth: 1"
    spec = read(
        f"""
        name: same
        inputs: {{image: {{type: image, size: 8}}, text: {{type: text, length: 5}}}}
        encoders:
          image: {{type: vit, patch_size: 4, width: 8, depth: 1, heads: 2}}
          text: {{type: text_transformer, width: 8, depth: 1, heads: 2}}
        fusion:
          joint: {streams}, from: [image, text]}}
          again: {streams}, from: [joint.image, image, joint.text]}}
          last: {{type: attention, heads: 2, from: [again, image, joint.image, joint.text]}}
        heads: {{label: {{type: classification, classes: 3}}}}
        """,
        CATALOGUE,
    )
    check_spec(spec)
