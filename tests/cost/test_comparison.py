"""Two profiles side by side: what is in one alone, what costs more; and profiles from files, with what may be wrong in them."""

import json

import pytest

import mmspec
from mmspec.cost.comparison import compare
from mmspec.cost.stored import stored
from mmspec.spec import SpecError


def plain(name, *overrides, batch=1, depth=1):
    return mmspec.profile(mmspec.load(name, overrides), batch).to_dict(depth)


def test_a_profile_is_like_itself():
    found = compare(plain("fusion_gated"), plain("fusion_gated"))
    assert {node.what for node in found.nodes} == {"same"}
    assert {ratio for ratio in found.to_dict()["ratios"].values() if ratio is not None} == {1.0}
    assert not found.sizes


def test_twice_as_many_blocks_are_twice_as_much_of_that_node_alone():
    found = compare(plain("fusion_gated"), plain("fusion_gated", "fusion.joint.depth=4")).to_dict()
    nodes = {node["path"]: node for node in found["nodes"]}
    assert {name for name, node in nodes.items() if node["change"] == "same"} == {"image", "text"}
    assert nodes["joint"]["ratios"]["parameters"] == nodes["joint"]["ratios"]["flops"] == 2.0
    grown = nodes["joint"]["flops"][1] - nodes["joint"]["flops"][0]
    asked = nodes["label"]["flops"][1] - nodes["label"]["flops"][0]
    assert found["price"]["flops.total"][1] - found["price"]["flops.total"][0] == grown + asked


def test_nodes_are_added_and_removed_and_may_become_something_else():
    nodes = {node.path: node for node in compare(plain("fusion_gated"), plain("vit_b16")).nodes}
    assert nodes["text"].what == nodes["joint"].what == "removed"
    assert nodes["text"].figures["flops"][1] is None
    back = {node.path: node for node in compare(plain("vit_b16"), plain("fusion_gated")).nodes}
    assert back["text"].what == "added"
    other = {node.path: node for node in compare(plain("fusion_gated"), plain("fusion_cross")).nodes}
    assert other["joint"].component == ("gated", "cross_attention")
    assert other["joint"].what == "changed"


def test_what_is_inside_nodes_is_compared_as_deep_as_is_asked():
    deep = [plain("vit_b16", *more, depth=3) for more in ((), ("encoders.image.expansion=2",))]
    changed = {node.path for node in compare(*deep, 3).nodes if node.what != "same"}
    assert changed == {"image", "image.blocks", "image.blocks.feed_forward"}


def test_sizes_that_differ_are_said():
    found = compare(plain("fusion_gated", batch=2), plain("fusion_gated", batch=8))
    assert found.sizes == {"B": (2, 8)}


# profiles in files ---------------------------------------------------------------------------------------------------


def refusal(path, text):
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        stored(str(path))
    return str(caught.value)


def test_what_was_written_is_read_back(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(plain("fusion_gated", depth=2), indent=2))
    assert stored(str(tmp_path / "a.json")) == json.loads(json.dumps(plain("fusion_gated", depth=2)))


@pytest.mark.parametrize("indent", [2, None])
def test_another_schema_version_is_refused_at_its_place_with_both_versions(tmp_path, indent):
    text = json.dumps({**plain("fusion_gated"), "schema": 7}, indent=indent)
    said = refusal(tmp_path / "a.json", text)
    assert "schema version 7, and this mmspec reads and writes version 1" in said
    line, column = (2, 13) if indent else (1, 12)
    assert f"a.json:{line}:{column}" in said
    assert "mmspec profile SPEC" in said


def test_what_is_no_profile_is_said_to_be_none(tmp_path):
    assert "a.json:1:9" in refusal(tmp_path / "a.json", '{"a": 1,')
    assert "it has no schema version" in refusal(tmp_path / "a.json", "[1, 2]")
    assert "it has no schema version" in refusal(tmp_path / "a.json", '{"front": []}')
    assert "it has no nodes" in refusal(
        tmp_path / "a.json", '{"schema": 1, "name": "x", "sizes": {}, "parameters": {}, "flops": {}, "memory": {}}'
    )
    wrong = {"schema": 1, "name": "x", "sizes": {}, "parameters": {}, "flops": {}, "memory": {}, "nodes": []}
    for sizes in (4, {"B": "many"}, {"B": 0}):
        assert "sizes is something else" in refusal(tmp_path / "a.json", json.dumps({**wrong, "sizes": sizes}))
    for nodes in ([1], [{"type": "vit"}], [{"name": "a", "children": [{"name": "b"}]}]):
        assert "nodes is something else" in refusal(tmp_path / "a.json", json.dumps({**wrong, "nodes": nodes}))
    assert "nested too deeply" in refusal(tmp_path / "a.json", "[" * 100_000)
    with pytest.raises(SpecError, match="No such file"):
        stored(str(tmp_path / "b.json"))
