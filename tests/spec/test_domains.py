"""Open places: what they are, when they are there, and closing them."""

import pytest
from small import CATALOGUE, FLAGSHIP, Concat, Gated, TopK

from mmspec.spec import Domain, ModelSpec, SpecError, add_domains, read
from mmspec.spec.reader import read_text, read_tree
from mmspec.spec.tree import Map

OPEN = """\
inputs:
  image: {type: image}
encoders:
  image: {type: vit, patch_size: 8, width: {int: [64, 256], step: 64, default: 128}, dropout: {float: [0.0, 0.5], default: 0.1}}
fusion:
  joint:
    choice:
      - type: gated
        depth: {choice: [1, 2, 3]}
        router: {choice: [dense, {type: top_k, experts: {int: [2, 8], log: true, default: 4}}], default: dense}
      - {type: concat}
    default: gated
heads:
  label: {type: classification, classes: 12}
"""


@pytest.fixture
def spec() -> ModelSpec:
    return read(OPEN, CATALOGUE, "a.yaml")


def test_domains_are_listed_by_path_with_the_choices_they_depend_on(spec: ModelSpec) -> None:
    assert list(spec.domains) == [
        "encoders.image.width",
        "encoders.image.dropout",
        "fusion.joint",
        "fusion.joint[gated].depth",
        "fusion.joint[gated].router",
        "fusion.joint[gated].router[top_k].experts",
    ]
    joint, depth, experts = (spec.domains[key] for key in list(spec.domains)[2:4] + list(spec.domains)[-1:])
    assert (
        joint.values == ("gated", "concat") and joint.default == "gated" and joint.has_default and joint.condition == ()
    )
    assert depth.values == (1, 2, 3) and not depth.has_default and depth.condition == (("fusion.joint", "gated"),)
    assert depth.path == ("fusion", "joint", "depth")
    assert experts.condition == (("fusion.joint", "gated"), ("fusion.joint[gated].router", "top_k"))
    assert (experts.kind, experts.low, experts.high, experts.log) == ("int", 2, 8, True)
    assert str(spec.domains["encoders.image.width"].position) == "a.yaml:4:44"


def test_a_domain_is_there_only_where_its_condition_holds(spec: ModelSpec) -> None:
    depth = spec.domains["fusion.joint[gated].depth"]
    assert depth.active({"fusion.joint": "gated"})
    assert not depth.active({"fusion.joint": "concat"}) and not depth.active({})


def test_an_open_spec_holds_defaults_and_the_first_alternative_where_there_is_none(spec: ModelSpec) -> None:
    joint = spec.fusion["joint"]
    assert isinstance(joint, Gated) and joint.depth == 1 and joint.router.type == "dense"  # type: ignore[attr-defined]
    assert spec.encoders["image"].width == 128  # type: ignore[attr-defined]


def test_a_spec_is_closed_by_its_defaults_and_asks_for_what_has_none(spec: ModelSpec) -> None:
    with pytest.raises(SpecError) as caught:
        spec.require_closed()
    (found,) = caught.value.diagnostics
    assert found.message == "'fusion.joint[gated].depth' is still open, and has no default"
    assert str(found.position) == "a.yaml:9:16"
    assert found.notes == ("it may be: 1, 2, 3", "choose with --set fusion.joint[gated].depth=...")
    assert not read(OPEN, CATALOGUE, "a.yaml", ["fusion.joint[gated].depth=2"]).require_closed().domains
    assert not spec.choose({"fusion.joint": "concat"}).require_closed().domains


def test_choosing_closes_and_leaves_the_rest_open(spec: ModelSpec) -> None:
    chosen = spec.choose({"fusion.joint": "gated", "fusion.joint[gated].router": "top_k", "encoders.image.width": 192})
    assert isinstance(chosen.fusion["joint"].router, TopK)  # type: ignore[attr-defined]
    assert chosen.encoders["image"].width == 192  # type: ignore[attr-defined]
    assert list(chosen.domains) == [
        "encoders.image.dropout",
        "fusion.joint[gated].depth",
        "fusion.joint[gated].router[top_k].experts",
    ]
    assert chosen.domains["fusion.joint[gated].depth"].condition == ()
    assert chosen.origin("encoders.image.width") == "chosen" and chosen.origin("encoders.image.heads") == "default"
    assert list(spec.choose({"fusion.joint": "concat"}).domains) == ["encoders.image.width", "encoders.image.dropout"]


def test_a_component_goes_by_type_or_number_and_a_path_leads_through_what_is_chosen(spec: ModelSpec) -> None:
    assert isinstance(spec.choose({"fusion.joint": 1}).fusion["joint"], Concat)
    assert spec.choose({"fusion.joint": 1}).chosen == {"fusion.joint": "concat"}
    assert spec.choose({"fusion.joint.depth": 3}).fusion["joint"].depth == 3  # type: ignore[attr-defined]
    deep = spec.choose({"fusion.joint.router": "top_k", "fusion.joint.router.experts": 8, "fusion.joint.router.k": 1})
    assert deep.fusion["joint"].router == TopK(experts=8, k=1)  # type: ignore[attr-defined]


def test_choosing_again_leaves_an_alternative_with_what_was_chosen_inside(spec: ModelSpec) -> None:
    there = spec.choose({"fusion.joint": "gated", "fusion.joint[gated].depth": 3})
    back = there.choose({"fusion.joint": "concat"})
    assert back.chosen == {"fusion.joint": "concat"} and isinstance(back.fusion["joint"], Concat)


def test_choosing_step_by_step_is_choosing_at_once(spec: ModelSpec) -> None:
    values = {
        "fusion.joint": "gated",
        "fusion.joint[gated].depth": 3,
        "encoders.image.width": 64,
        "encoders.image.dropout": 0.3,
    }
    step = spec
    for key, value in values.items():
        step = step.choose({key: value})
    assert step == spec.choose(values) and step.chosen == values


def test_a_chosen_spec_is_the_spec_that_says_so_itself(spec: ModelSpec) -> None:
    values = {"fusion.joint": "gated", "fusion.joint[gated].depth": 3, "encoders.image.width": 64}
    chosen = spec.choose(values).require_closed()
    assert read(chosen.to_yaml(), CATALOGUE) == chosen


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"encoders.image.width": 100}, "100 is not in the domain of 'encoders.image.width'"),
        ({"encoders.image.width": 128.0}, "128.0 is not in the domain of 'encoders.image.width'"),
        ({"encoders.image.dropout": 0.6}, "0.6 is not in the domain of 'encoders.image.dropout'"),
        ({"fusion.joint": "gate"}, "the text 'gate' is not in the domain of 'fusion.joint', did you mean 'gated'?"),
        ({"fusion.joint": 2}, "2 is not in the domain of 'fusion.joint'"),
        ({"fusion.joint": True}, "true is not in the domain of 'fusion.joint'"),
        ({"fusion.joint[gated].depth": True}, "true is not in the domain of 'fusion.joint[gated].depth'"),
        ({"fusion.joint": "concat", "fusion.joint[gated].depth": 1}, "has no effect: it needs fusion.joint = gated"),
        ({"encoders.image.widht": 64}, "'encoders.image' has no 'widht', did you mean 'width'?"),
        ({"encoders.image.patch_size": "8"}, "expected a whole number for 'patch_size' of vit, found the text '8'"),
        ({"encoders.image.heads": 5}, "5 heads do not divide the width 128"),
    ],
)
def test_what_cannot_be_chosen_is_said(spec: ModelSpec, values: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec.choose(values)
    assert message in caught.value.diagnostics[0].message


def test_a_domain_knows_its_values() -> None:
    numbers = Domain("x", ("x",), "int", low=2, high=8, step=2)
    assert [value in numbers for value in (2, 4, 8, 3, 10, 4.0, True)] == [True, True, True, False, False, False, False]
    rates = Domain("x", ("x",), "float", low=0.1, high=0.5, step=0.1)
    assert 0.30000000000000004 in rates and 0.35 not in rates and 1 not in rates
    choices = Domain("x", ("x",), "choice", (1, "a", None, 2.0))
    assert [value in choices for value in (1, "a", None, 2.0, 1.0, 2, True)] == [
        True,
        True,
        True,
        True,
        False,
        False,
        False,
    ]


def test_alternatives_of_one_type_go_by_number_and_texts_by_themselves() -> None:
    text = FLAGSHIP.replace("from: [image, text]", "from: {choice: [[image, text], [text, image]]}").replace(
        "router:  {type: top_k, experts: 4, k: 2, balance: 0.01}",
        "router: {choice: [dense, {type: top_k, k: 1}, {type: top_k, k: 2}]}",
    )
    spec = read(text, CATALOGUE)
    assert spec.domains["fusion.joint.from"].values == (0, 1)
    assert spec.domains["fusion.joint.router"].values == ("dense", 1, 2)
    chosen = spec.choose({"fusion.joint.from": 1, "fusion.joint.router": 2})
    assert [str(source) for source in chosen.nodes[2].sources] == ["encoders.text", "encoders.image"]
    assert chosen.fusion["joint"].router == TopK(k=2)  # type: ignore[attr-defined]


def test_a_type_may_be_open_by_itself() -> None:
    text = FLAGSHIP.replace(
        "{type: top_k, experts: 4, k: 2, balance: 0.01}", "{type: {choice: [top_k, dense], default: dense}}"
    )
    spec = read(text, CATALOGUE)
    assert spec.fusion["joint"].router.type == "dense"  # type: ignore[attr-defined]
    assert spec.choose({"fusion.joint.router.type": "top_k"}).fusion["joint"].router == TopK()  # type: ignore[attr-defined]


def space(text: str) -> Map:
    root = read_tree(read_text(text, "study.yaml"))
    assert isinstance(root, Map)
    return root


def test_a_study_adds_domains_by_path_even_where_nothing_is_written() -> None:
    spec = add_domains(
        read(FLAGSHIP, CATALOGUE, "a.yaml"),
        space(
            "fusion.joint.depth: {choice: [1, 2, 3]}\nencoders.image.dropout: {float: [0.0, 0.5]}\nheads.label.pool: {choice: [mean, null]}\n"
        ),
    )
    assert list(spec.domains) == ["encoders.image.dropout", "fusion.joint.depth", "heads.label.pool"]
    assert str(spec.domains["fusion.joint.depth"].position) == "study.yaml:1:21"
    assert spec.choose({"heads.label.pool": None}).heads["label"].pool is None  # type: ignore[attr-defined]
    assert (
        add_domains(read(FLAGSHIP, CATALOGUE), {"fusion.joint.depth": {"int": [1, 3]}})
        .domains["fusion.joint.depth"]
        .high
        == 3
    )


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("fusion.joint.dept: {choice: [1, 2]}", (1, 1), "'fusion.joint' has no 'dept', did you mean 'depth'?"),
        ("fusion.jiont.depth: {choice: [1, 2]}", (1, 1), "'fusion' has no 'jiont', did you mean 'joint'?"),
        ("fusion.joint.depth: {choice: [1, 0]}", (1, 34), "'depth' of gated must be greater than 0, found 0"),
        ("fusion.joint.depth: {choice: []}", (1, 30), "a domain needs at least one choice"),
        ("fusion.joint.depth: 3", (1, 1), "expected a domain for 'fusion.joint.depth'"),
        ("fusion.joint.depth: {int: [3, 1]}", (1, 27), "an empty domain: 3 is above 1"),
    ],
)
def test_a_mistake_in_a_space_is_located_in_the_study(text: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        add_domains(read(FLAGSHIP, CATALOGUE, "a.yaml"), space(text))
    (found,) = caught.value.diagnostics
    assert message in found.message and found.position is not None
    assert (found.position.source.name, found.position.line, found.position.column) == ("study.yaml", *place)
