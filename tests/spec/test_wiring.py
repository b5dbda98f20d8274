"""Who reads whom."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import CATALOGUE, FLAGSHIP

from mmspec.spec import ModelSpec, SpecError, read

TWO = """\
inputs:
  image: {type: image}
  text: {type: text}
encoders:
  image: {type: vit, patch_size: 8}
  text: {type: text_transformer}
"""
LABEL = "heads:\n  label: {type: classification, classes: 12}\n"


def sources(spec: ModelSpec) -> dict[str, list[str]]:
    return {node.path: [str(source) for source in node.sources] for node in spec.nodes}


def test_each_role_has_its_default() -> None:
    assert sources(read(TWO + "fusion:\n  joint: {type: gated}\n" + LABEL, CATALOGUE)) == {
        "encoders.image": ["inputs.image"],
        "encoders.text": ["inputs.text"],
        "fusion.joint": ["encoders.image", "encoders.text"],
        "heads.label": ["fusion.joint"],
    }


def test_an_encoder_of_another_name_reads_the_only_input_and_a_head_the_only_encoder() -> None:
    spec = read("inputs:\n  image: {type: image}\nencoders:\n  eye: {type: vit, patch_size: 8}\n" + LABEL, CATALOGUE)
    assert sources(spec) == {"encoders.eye": ["inputs.image"], "heads.label": ["encoders.eye"]}


def test_a_head_reads_the_last_fusion_that_nobody_else_reads() -> None:
    text = TWO + "fusion:\n  b: {type: gated, from: [a, text]}\n  a: {type: gated}\n" + LABEL
    spec = read(text, CATALOGUE)
    assert sources(spec)["heads.label"] == ["fusion.b"]
    assert [node.path for node in spec.nodes][2:] == ["fusion.a", "fusion.b", "heads.label"], "producers first"


def test_a_bare_name_is_the_furthest_downstream_and_other_ways_say_another() -> None:
    fusion = "fusion:\n  joint: {type: gated, from: [image, inputs.image, encoders.text.tokens, text]}\n"
    assert sources(read(TWO + fusion + LABEL, CATALOGUE))["fusion.joint"] == [
        "encoders.image",
        "inputs.image",
        "encoders.text.tokens",
        "encoders.text",
    ]


def test_an_encoder_that_names_its_own_name_means_the_input() -> None:
    text = TWO.replace("patch_size: 8}", "patch_size: 8, from: image}") + "fusion:\n  joint: gated\n" + LABEL
    assert sources(read(text, CATALOGUE))["encoders.image"] == ["inputs.image"]


def test_a_part_of_what_a_node_returns_is_its_port() -> None:
    spec = read(TWO + "fusion:\n  joint: gated\n" + LABEL.replace("12", "12, from: joint.image"), CATALOGUE)
    (source,) = spec.nodes[-1].sources
    assert (source.path, source.port) == ("fusion.joint", "image")


def test_what_is_asked_for_is_used_and_inputs_may_be_asked_for() -> None:
    spec = read(
        TWO + "fusion:\n  joint: {type: gated, from: text}\n" + LABEL + "outputs: [image, joint.text, label.exit]\n",
        CATALOGUE,
    )
    assert spec.outputs == ("image", "joint.text", "label.exit")


def test_the_heads_of_objectives_and_of_halting_are_filled_in() -> None:
    text = FLAGSHIP.replace(", head: label", "")
    spec = read(text, CATALOGUE)
    assert spec == read(FLAGSHIP, CATALOGUE)
    assert spec.objectives[0].head == "label" and spec.fusion["joint"].halting.head == "label"  # type: ignore[attr-defined]


def test_defaults_are_written_into_the_component_so_that_they_read_back() -> None:
    spec = read(FLAGSHIP, CATALOGUE)
    assert [node.component.from_ for node in spec.nodes] == ["inputs.image", "inputs.text", ("image", "text"), "joint"]  # type: ignore[attr-defined]


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20))
def test_nodes_come_after_what_they_read_or_a_cycle_is_named(edges: list[tuple[int, int]]) -> None:
    reads: dict[int, set[int]] = {i: set() for i in range(12)}
    for reader, source in edges:
        reads[reader].add(source)
    fusion = "".join(
        f"  f{i}: {{type: gated, from: [image{''.join(f', f{j}' for j in sorted(reads[i]))}]}}\n" for i in reads
    )
    text = "inputs:\n  image: {type: image}\nencoders:\n  image: {type: vit, patch_size: 8}\nfusion:\n" + fusion
    text += f"outputs: [{', '.join(f'f{i}' for i in reads)}]\n"
    try:
        spec = read(text, CATALOGUE)
    except SpecError as error:
        (found,) = error.diagnostics
        names = [int(name[1:]) for name in found.message.removeprefix("a cycle: ").split(" -> ")]
        assert names[0] == names[-1]
        assert all(source in reads[reader] for source, reader in pairwise(names))
        return
    seen: set[str] = {"inputs.image"}
    for node in spec.nodes:
        assert {source.path for source in node.sources} <= seen
        seen.add(node.path)
    assert len(seen) == 14


def test_a_long_chain_is_no_problem_for_the_stack() -> None:
    chain = "".join(f"  f{i}: {{type: gated, from: f{i + 1}}}\n" for i in range(250))
    text = TWO.replace("  text: {type: text}\n", "").replace("  text: {type: text_transformer}\n", "")
    spec = read(text + "fusion:\n" + chain + "  f250: {type: gated}\noutputs: [f0]\n", CATALOGUE)
    assert [node.name for node in spec.nodes][:3] == ["image", "f250", "f249"]


@pytest.mark.parametrize(
    "name", ["forward", "train", "half", "to", "graph", "inputs", "lambda", "None", "2d", "a-b", "a b", "_x"]
)
def test_a_name_that_cannot_be_an_attribute_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="cannot be a name"):
        read(
            f"inputs:\n  image: {{type: image}}\nencoders:\n  {name}: {{type: vit, patch_size: 8}}\noutputs: [{name}]\n",
            CATALOGUE,
        )


def test_a_misspelt_reference_of_a_head_is_not_also_a_mistake_of_the_halting_policy() -> None:
    with pytest.raises(SpecError) as caught:
        read(FLAGSHIP.replace("classes: 12", "classes: 12, from: jiont"), CATALOGUE)
    assert [found.message for found in caught.value.diagnostics] == [
        "there is no node or input 'jiont', did you mean 'joint'?"
    ]
