"""A spec as a whole: what it resolves to, where things come from, what it costs to import."""

import copy
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import CATALOGUE, FLAGSHIP

from mmspec.spec import SpecError, read, starter
from mmspec.spec.emit import document
from mmspec.spec.reader import read_text, read_tree
from mmspec.spec.tree import plain

TEXTS = st.one_of(
    st.sampled_from(["no", "1e-3", "010", "null", "a: b", "#", "é", " x ", "\u202e", "'", '"', "- a"]),
    st.text(min_size=1),
)


@st.composite
def specs(draw: st.DrawFn) -> str:
    """A valid spec with names, texts and numbers of all kinds."""
    counts = st.integers(1, 10**6)
    names = draw(st.lists(st.from_regex(r"[a-z][a-z0-9]{0,6}x", fullmatch=True), min_size=3, max_size=6, unique=True))
    eye, words, *fusions = names
    router = draw(st.sampled_from(["dense", "top_k"]))
    data = {
        "description": draw(TEXTS),
        "inputs": {eye: {"type": "image", "size": draw(counts)}, words: {"type": "text"}},
        "encoders": {
            eye: {"type": "vit", "patch_size": draw(counts), "width": 4 * draw(counts), "dropout": draw(st.floats(0, 0.99)),
                  "stages": draw(st.lists(counts, max_size=3))},
            words: "text_transformer",
        },
        "fusion": {
            name: {"type": "gated", "from": [words, eye], "router": router, "frozen": draw(st.booleans())} for name in fusions
        },
        "heads": {"label": {"type": "classification", "classes": draw(counts), "from": list(fusions)}},
        "objectives": [{"type": "cross_entropy", "target": draw(TEXTS)} for _ in range(draw(st.integers(0, 2)))],
        "outputs": draw(st.lists(st.sampled_from(names), unique=True)),
    }  # fmt: skip
    return document(data)


@given(specs())
def test_a_resolved_spec_reads_back_as_an_equal_one(text: str) -> None:
    spec = read(text, CATALOGUE)
    for resolved in (spec.to_yaml(), spec.to_yaml(origins=True)):
        again = read(resolved, CATALOGUE)
        assert again == spec and again.resolved() == spec.resolved()
        assert [(node.path, node.sources) for node in again.nodes] == [(node.path, node.sources) for node in spec.nodes]


@given(
    st.recursive(
        TEXTS | st.integers(-9, 9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    )
)
def test_a_document_reads_back_as_its_data(value: object) -> None:
    def frozen(value: object) -> object:
        if isinstance(value, dict):
            return {key: frozen(item) for key, item in value.items()}
        return tuple(map(frozen, value)) if isinstance(value, list) else value

    assert plain(read_tree(read_text(document({"top": {"value": value, "list": [value]}})))) == frozen(
        {"top": {"value": value, "list": [value]}}
    )


def test_the_resolved_spec_says_everything() -> None:
    resolved = read(FLAGSHIP, CATALOGUE).resolved()
    assert list(resolved) == ["name", "inputs", "encoders", "fusion", "heads", "objectives"]
    assert resolved["heads"]["label"] == {
        "type": "classification",
        "from": "joint",
        "frozen": False,
        "classes": 12,
        "pool": {"type": "mean"},
    }
    assert (
        resolved["fusion"]["joint"]["from"] == ["image", "text"] and next(iter(resolved["fusion"]["joint"])) == "type"
    )


def test_with_origins_each_value_has_a_line_and_says_where_it_comes_from() -> None:
    text = read(FLAGSHIP, CATALOGUE, "specs/a.yaml", ["fusion.joint.depth=4"]).to_yaml(origins=True)
    lines = {line.split(":")[0].strip(): line.split("# ")[-1] for line in text.splitlines() if "#" in line}
    assert lines["depth"] != lines["patch_size"]
    assert "    depth: 4" in text and "# --set\n" in text and "frozen: false" in text and "# default\n" in text
    assert lines["patch_size"] == "specs/a.yaml:6:34"


def test_places_are_those_of_the_value_or_of_the_nearest_thing_written() -> None:
    spec = read(FLAGSHIP, CATALOGUE, "a.yaml")
    places = {
        "fusion.joint.router.k": "a.yaml:13:43",
        "fusion.joint.router": "a.yaml:13:14",
        "fusion.joint": "a.yaml:9:3",  # its key: the block begins on a line of its own
        "encoders.image": "a.yaml:6:10",
        "encoders.image.dropout": "a.yaml:6:10",  # not written
        "fusion.joint.from.1": "a.yaml:11:19",
        "objectives.0.target": "a.yaml:18:48",
        "heads.label.from": "a.yaml:16:10",
        "outputs": "a.yaml:1:1",
    }
    assert {path: str(spec.at(path)) for path in places} == places


def test_a_later_room_locates_its_mistakes_in_the_same_way() -> None:
    spec = read(FLAGSHIP, CATALOGUE, "a.yaml")
    found = spec.diagnostic(
        "encoders.image.patch_size", "patches of 8 do not tile 30", expected="a divisor of 30", hint="try 6"
    )
    assert str(found) == (
        "error: patches of 8 do not tile 30\n --> a.yaml:6:34\n  |\n"
        "6 |   image: {type: vit, patch_size: 8, width: 128, depth: 4, heads: 4}\n"
        "  |                                  ^\n  = expected a divisor of 30\n  = try 6"
    )


def test_a_spec_travels_to_another_process() -> None:
    spec = read(FLAGSHIP.replace("depth: 2\n", "depth: {choice: [1, 2]}\n"), CATALOGUE, "a.yaml")
    for copied in (pickle.loads(pickle.dumps(spec)), copy.deepcopy(spec)):
        assert copied == spec and copied.choose({"fusion.joint.depth": 2}) == spec.choose({"fusion.joint.depth": 2})


def test_equal_specs_mean_the_same_wherever_they_were_written() -> None:
    assert read(FLAGSHIP, CATALOGUE, "a.yaml") == read(FLAGSHIP.replace("32", "0x20") + "\n\n", CATALOGUE, "b.yaml")
    assert read(FLAGSHIP, CATALOGUE) != read(FLAGSHIP.replace("32", "64"), CATALOGUE)


def test_a_spec_without_a_name_bears_its_files() -> None:
    text = FLAGSHIP.removeprefix("name: fusion_gated\n")
    assert read(text, CATALOGUE, "specs/some_model.yaml").name == "some_model"
    assert read(text, CATALOGUE).name == "spec"


def test_a_first_spec_is_valid_and_gives_the_editor_its_schema() -> None:
    text = starter("my_model")
    assert text.startswith("# yaml-language-server: $schema=mmspec.schema.json\n")
    assert read(text, CATALOGUE).name == "my_model"
    with pytest.raises(SpecError, match="a spec cannot be called 'a b'"):
        starter("a b")


def test_reading_a_spec_imports_neither_torch_nor_numpy_nor_networkx() -> None:
    code = "import sys, mmspec.spec; print(sorted({m.partition('.')[0] for m in sys.modules} & {'torch', 'numpy', 'networkx', 'optuna', 'onnx', 'click', 'rich', 'jsonschema'}))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
