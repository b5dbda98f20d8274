"""Layout files are right by themselves: what they say can be followed, and no name has two meanings."""

import re

import pytest

from mmspec.components import BUILT_IN
from mmspec.errors import UserError
from mmspec.spec import SpecError
from mmspec.weights.layout import FOLDER, families, layouts
from mmspec.weights.templates import fill, match, places

SECTIONS = {"encoders": "encoder", "fusion": "fusion", "decoders": "decoder", "heads": "head"}


def layout(family):
    (found,) = layouts(f"transformers/{family}")
    return found


def targets(rules, joins=()):
    return [ours for rule in rules.values() for ours in rule.to] + list(joins)


@pytest.mark.parametrize("family", families())
def test_every_name_of_ours_begins_with_a_node_of_the_layout(family):
    found = layout(family)
    words = {ours.partition(".")[0] for ours in (*targets(found.rules, found.file.join), *found.file.computed)}
    assert words == set(found.nodes)


@pytest.mark.parametrize("family", families())
def test_every_node_is_of_a_component_that_there_is(family):
    for rule in layout(family).nodes.values():
        assert set(rule.type) <= set(BUILT_IN[SECTIONS[rule.section]])


@pytest.mark.parametrize("family", families())
def test_a_name_of_theirs_has_one_meaning(family):
    found = layout(family)
    templates = [*found.rules, *(part for rule in found.file.join.values() for part in rule.of), *found.file.ignore]
    for template in templates:
        name = fill(template, {place: "weight" if place == "p" else "3" for place in places(template)})
        assert [other for other in dict.fromkeys(templates) if match(other, name) is not None] == [template]


@pytest.mark.parametrize("family", families())
def test_every_place_in_a_name_of_ours_is_filled_by_theirs(family):
    found = layout(family)
    for theirs, rule in found.rules.items():
        assert all(places(ours) <= places(theirs) | set(rule.unstack) for ours in rule.to)
    assert not set(targets(found.rules)) & set(found.file.join)


@pytest.mark.parametrize("family", families())
def test_the_other_name_of_a_tied_tensor_is_a_tensor_of_the_layout(family):
    found = layout(family)
    for theirs, rule in found.rules.items():
        if rule.equals:
            name = fill(rule.equals, dict.fromkeys(places(theirs), "3"))
            assert any(match(other, name) is not None for other in found.rules), rule.equals


@pytest.mark.parametrize("family", families())
def test_a_layout_says_whose_names_it_has_and_why_it_ignores_some(family):
    found = layout(family)
    assert re.match(r"transformers 5, models/", found.file.source)
    assert all(reason.strip() for reason in (*found.file.ignore.values(), *found.file.computed.values()))


def test_a_place_stands_for_a_number_or_for_what_a_layer_calls_its_own():
    assert match("a.{i}.{p}", "a.12.weight") == {"i": "12", "p": "weight"}
    assert match("a.{i}.{p}", "a.b.weight") is None
    assert match("a.{i}.{p}", "a.1.gamma") is None
    assert match("a.{i}.{p}", "a.1.b.weight") is None
    assert match("a{i}.b{i}", "a1.b1") == {"i": "1"}
    assert match("a{i}.b{i}", "a1.b2") is None
    assert match("a.b", "aab") is None


def test_a_side_may_count_from_one():
    assert match("stage{s+1}.{p}", "stage1.bias") == {"s": "0", "p": "bias"}
    assert match("stage{s+1}.{p}", "stage0.bias") is None
    assert fill("stage{s+1}.{p}", {"s": "0", "p": "bias"}) == "stage1.bias"
    assert match("{i+1}.{i}", "2.1") is None  # one name, one number


def test_a_layout_of_the_users_own_is_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "source: mine\nnodes:\n  image: {section: encoders, type: vit}\ntensors:\n  a.{p}: image.norm.{p}\n"
    )
    (found,) = layouts(str(path))
    assert targets(found.rules) == ["image.norm.{p}"]
    path = tmp_path / "wrong.yaml"
    path.write_text("source: mine\nnodes:\n  image: {section: encoder, type: vit}\ntensors: {}\n")
    with pytest.raises(SpecError, match=r"section.*(?s:.*)wrong\.yaml:3:20"):
        layouts(str(path))
    with pytest.raises(UserError, match="cannot read the layout"):
        layouts(str(tmp_path / "nothing.yaml"))


def test_layouts_lie_where_the_package_is():
    assert sorted(path.stem for path in (FOLDER / "transformers").glob("*.yaml")) == list(families())
