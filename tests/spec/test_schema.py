"""JSON Schema for editors: what is valid passes, one mistake gives one message."""

import jsonschema
import pytest
import yaml
from small import CATALOGUE, FLAGSHIP

from mmspec.spec import json_schema, read, starter

SCHEMA = json_schema(CATALOGUE)
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


def messages(text: str) -> list[tuple[str, str]]:
    errors = VALIDATOR.iter_errors(yaml.safe_load(text))
    return [(".".join(map(str, error.absolute_path)), error.message) for error in errors]


def test_it_is_a_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


ROUTER = "{type: top_k, experts: 4, k: 2, balance: 0.01}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ("depth: 2\n", "depth: {choice: [1, 2], default: 1}\n"),
        ("width: 128, depth: 4", "width: {int: [64, 256], step: 64}, dropout: {float: [0, 0.5]}"),
        (ROUTER, "dense"),
        (ROUTER, "{choice: [dense, {type: top_k, k: {choice: [1, 2]}}], default: dense}"),
        ("from: [image, text]", "from: {choice: [[image, text], [text, image]]}"),
        ("classes: 12", "classes: 12, pool: null"),
        ("classes: 12", "classes: 12, pool: mean"),
    ],
)
def test_what_is_valid_passes(old: str, new: str) -> None:
    text = FLAGSHIP.replace(old, new, 1) if old else FLAGSHIP
    read(text, CATALOGUE)
    assert messages(text) == []


def test_what_is_used_from_definitions_and_variants_pass() -> None:
    reuse = "definitions: {few: {type: top_k}}\nvariants: {a: {encoders.image.width: 64}}\n"
    text = FLAGSHIP.replace(ROUTER, "{use: few, k: 1}") + reuse
    read(text, CATALOGUE)
    assert messages(text) == []


FILE = "{file: vit.safetensors, layout: transformers, ignore: [classifier.*], grid: [3, 5]}"


@pytest.mark.parametrize("weights", ["vit.safetensors", FILE, f"{{image: {FILE}, text: text.safetensors}}"])
def test_weights_may_be_of_the_model_or_of_nodes(weights: str) -> None:
    text = f"{FLAGSHIP}weights: {weights}\n"
    read(text, CATALOGUE)
    assert messages(text) == []
    assert messages(read(text, CATALOGUE).to_yaml()) == []


@pytest.mark.parametrize(
    ("weights", "path"),
    [("3", "weights"), ("{file: a, layuot: b}", "weights"), ("{image: {layout: a}}", "weights.image")],
)
def test_a_mistake_in_weights_is_one_message(weights: str, path: str) -> None:
    assert [at for at, _ in messages(f"{FLAGSHIP}weights: {weights}\n")] == [path]


def test_the_first_spec_and_the_resolved_one_pass_and_what_extends_another_may_leave_out() -> None:
    assert messages(starter("x")) == []
    assert messages(read(FLAGSHIP, CATALOGUE).to_yaml()) == []
    assert messages("extends: base.yaml\nencoders: {image: {width: 64}}\n") == []


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        ("depth: 4", "dept: 4", "encoders.image", "Additional properties are not allowed ('dept' was unexpected)"),
        ("type: gated", "type: gate", "fusion.joint.type", "'gate' is not one of ['concat', 'gated']"),
        ("depth: 2\n", "depth: '2'\n", "fusion.joint.depth", "'2' is not of type 'integer'"),
        ("depth: 2\n", "depth: {choice: [1, x]}\n", "fusion.joint.depth.choice.1", "'x' is not of type 'integer'"),
        ("depth: 2\n", "depth: {choice: []}\n", "fusion.joint.depth.choice", None),
        ("depth: 2\n", "depth: 0\n", "fusion.joint.depth", None),
        ("{type: top_k, ", "{", "fusion.joint.router", "'type' is a required property"),
        ("experts: 4", "experts: many", "fusion.joint.router.experts", "'many' is not of type 'integer'"),
        (
            "experts: 4",
            "expert: 4",
            "fusion.joint.router",
            "Additional properties are not allowed ('expert' was unexpected)",
        ),
        (ROUTER, "tok_k", "fusion.joint.router", "'tok_k' is not one of ['dense', 'top_k']"),
        (ROUTER, "3", "fusion.joint.router", "3 is not of type 'object'"),
        ("threshold: 0.9", "threshold: 2", "fusion.joint.halting.threshold", "2 is greater than the maximum of 1"),
        (
            "{type: classification, classes: 12}",
            "{type: classification}",
            "heads.label",
            "'classes' is a required property",
        ),
        ("from: [image, text]", "from: 3", "fusion.joint.from", None),
        ("heads:\n", "haeds:\n", "", "Additional properties are not allowed ('haeds' was unexpected)"),
        ("target: answer", "target: 3", "objectives.0.target", "3 is not of type 'string'"),
        ("inputs:", "outputs: joint\ninputs:", "outputs", "'joint' is not of type 'array'"),
    ],
)
def test_one_mistake_gives_one_message(old: str, new: str, path: str, message: str | None) -> None:
    assert old in FLAGSHIP
    (found,) = messages(FLAGSHIP.replace(old, new, 1))
    assert found[0] == path
    assert message is None or found[1] == message


def test_an_editor_can_show_what_a_key_means_and_its_default() -> None:
    gated = SCHEMA["definitions"]["fusion.gated"]
    assert gated["description"] == "Gate between self and cross."
    assert (
        gated["properties"]["depth"]["description"] == "fusion blocks" and gated["properties"]["depth"]["default"] == 2
    )
    assert gated["properties"]["router"]["default"] == {"type": "dense"}
    assert SCHEMA["properties"]["name"]["description"]
