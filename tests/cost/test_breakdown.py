"""Rows of the bill add up to it, whatever they are cut by; the JSON is what its schema says."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from random_specs import random_spec

import mmspec
from mmspec import shipped
from mmspec.cost.breakdown import FIGURES, GROUPINGS, grouped, total, tree
from mmspec.cost.schema import profile_schema
from mmspec.cost.step import Step
from mmspec.errors import UserError

DEEP = 99


def summed(rows):
    return [sum(FIGURES[name](row) for row in rows) for name in FIGURES if name != "intensity"]


def whole(price):
    return [FIGURES[name](total(price)) for name in FIGURES if name != "intensity"]


@pytest.mark.parametrize("name", shipped.names("specs"))
def test_groups_add_up_to_the_whole(name):
    price = mmspec.profile(mmspec.load(name))
    for by in GROUPINGS:
        rows = grouped(price, by)
        assert summed(rows) == whole(price)
        assert len({row.label for row in rows}) == len(rows)


@pytest.mark.parametrize("seed", range(20))
def test_groups_of_random_specs_do_too(seed):
    price = mmspec.profile(random_spec(seed), 3)
    for by in GROUPINGS:
        assert summed(grouped(price, by)) == whole(price)


@pytest.mark.parametrize("depth", [1, 2, 3, DEEP])
@pytest.mark.parametrize("name", ["fusion_gated", "swin_t", "mixtral_8x7b", "t5_base", "fusion_routed", "act_fusion"])
def test_the_deepest_rows_of_a_tree_add_up_to_the_whole(name, depth):
    """A row is the sum of the rows below it, which are one deeper and follow it."""
    price = mmspec.profile(mmspec.load(name))
    rows = tree(price, depth)
    deepest = [
        row for row, after in zip(rows, [*rows[1:], None], strict=True) if after is None or after.level <= row.level
    ]
    assert summed(deepest) == whole(price)
    assert max(row.level for row in rows) <= depth


def test_a_modality_is_what_flows_into_a_node():
    rows = {row.label: row for row in grouped(mmspec.profile(mmspec.load("fusion_gated")), "modality")}
    nodes = {node["name"]: node for node in mmspec.profile(mmspec.load("fusion_gated")).to_dict()["nodes"]}
    assert list(rows) == ["image", "text", "image+text"]
    assert rows["image"].forward.flops == nodes["image"]["flops"]
    assert rows["image+text"].forward.flops == nodes["joint"]["flops"] + nodes["label"]["flops"]


def test_the_stages_of_a_pyramid_are_rows_of_their_own_and_so_are_stacks():
    swin = {row.label for row in grouped(mmspec.profile(mmspec.load("swin_t")), "stage")}
    assert {f"image.stage{number}" for number in (1, 2, 3, 4)} < swin
    gated = {row.label for row in grouped(mmspec.profile(mmspec.load("fusion_gated")), "stage")}
    assert {"joint.blocks", "image.blocks", "text.blocks", "image"} < gated


def test_sorted_rows_fall_at_every_level():
    rows = tree(mmspec.profile(mmspec.load("vit_b16")), 3, "flops")
    for level in (1, 2, 3):
        parents, values = [], {}
        for row in rows:
            parents[row.level - 1 :] = [row.label]
            if row.level == level:
                values.setdefault(tuple(parents[:-1]), []).append(row.forward.flops)
        assert all(found == sorted(found, reverse=True) for found in values.values())


def test_what_is_not_there_is_named_with_what_is():
    price = mmspec.profile(mmspec.load("vit_b16"))
    with pytest.raises(UserError, match="'modalty' is not a grouping, did you mean 'modality'"):
        grouped(price, "modalty")
    with pytest.raises(UserError, match="'size' is not a figure to sort by; there are: parameters, flops"):
        tree(price, 1, "size")


@pytest.mark.parametrize("device", ["h200", "orin-nano"])
@pytest.mark.parametrize("name", ["fusion_gated", "swin_t", "mixtral_8x7b"])
def test_times_of_rows_add_up_to_those_of_the_device(name, device):
    price = mmspec.profile(mmspec.load(name), 2, device=device, precision="fp16")
    whole = price.on.roofline.whole.op_by_op
    nodes = {node.name: node.op_by_op for node in price.on.roofline.nodes}
    assert total(price).seconds == pytest.approx(whole)
    for by in GROUPINGS:
        assert sum(row.seconds for row in grouped(price, by)) == pytest.approx(whole)
    for depth in (1, 3, DEEP):
        rows = tree(price, depth, "time")
        assert {row.label: row.seconds for row in rows if row.label in nodes and row.level == 1} == pytest.approx(nodes)


# the JSON ------------------------------------------------------------------------------------------------------------


def plain(price, depth=1):
    return json.loads(json.dumps(price.to_dict(depth)))


@pytest.mark.parametrize("name", shipped.names("specs"))
def test_every_profile_is_what_the_schema_says_and_has_no_field_that_it_does_not_name(name):
    schema = profile_schema()
    Draft202012Validator.check_schema(schema)
    found = list(Draft202012Validator(schema).iter_errors(plain(mmspec.profile(mmspec.load(name), 2), 4)))
    assert not found, found[0]


def test_with_rates_and_loads_too():
    price = mmspec.profile(
        mmspec.load("fusion_gated"), 4, {"joint": [0.4, 0.6]}, expert_loads={"joint": [0.4, 0.3, 0.2, 0.1]}
    )
    Draft202012Validator(profile_schema()).validate(plain(price))


@pytest.mark.parametrize("device", ["h200", "orin-nano", "m1"])
@pytest.mark.parametrize("name", ["fusion_gated", "gpt2_small"])
def test_on_a_device_too(name, device):
    Draft202012Validator(profile_schema()).validate(plain(mmspec.profile(mmspec.load(name), 2, device=device)))


@pytest.mark.parametrize("name", ["fusion_gated", "swin_t"])
def test_with_a_training_step_too(name):
    Draft202012Validator(profile_schema()).validate(plain(mmspec.profile(mmspec.load(name), 2, step=Step())))


def test_the_schema_says_what_every_field_means():
    def silent(schema, path="profile"):
        if schema.get("type") == "object" and "properties" in schema:
            for name, inner in schema["properties"].items():
                if not inner.get("description") and inner.get("type") != "object":
                    yield f"{path}.{name}"
                yield from silent(inner, f"{path}.{name}")

    schema = profile_schema()
    assert [*silent(schema), *(name for each in schema["$defs"].values() for name in silent(each))] == []


@pytest.mark.parametrize("name", ["fusion_gated", "t5_base", "swin_t"])
def test_children_add_up_to_their_node(name):
    for node in plain(mmspec.profile(mmspec.load(name)), 3)["nodes"]:
        assert node["forward"]["flops"] == node["flops"]
        assert sum(child["flops"] for child in node["children"]) == node["flops"]
        if node["parameters"]:
            assert sum(child["parameters"] for child in node["children"]) == node["parameters"]


def test_the_most_alive_in_any_node_is_the_figure_of_the_whole():
    for name in ("fusion_gated", "clip_vit_b32", "bert_base"):
        price = mmspec.profile(mmspec.load(name), 2)
        assert max(node["memory"]["activations"] for node in price.to_dict()["nodes"]) == price["memory.activations"]


def test_the_page_of_the_docs_names_every_field():
    page = (Path(__file__).parents[2] / "docs" / "profile.md").read_text(encoding="utf-8")
    schema = profile_schema()

    def names(part):
        for name, inner in part.get("properties", {}).items():
            yield name
            yield from names(inner)
        for nested in (part.get("items"), part.get("additionalProperties"), *part.get("anyOf", ())):
            yield from names(nested) if isinstance(nested, dict) else ()

    ours = {
        name: part
        for name, part in schema["properties"].items()
        if name not in ("roofline", "fit", "measured", "calibrated")
    }  # docs/devices.md, docs/measuring.md
    listed = {*ours, *(name for part in (*ours.values(), *schema["$defs"].values()) for name in names(part))}
    assert {name for name in listed if f"`{name}`" not in page} == set()
