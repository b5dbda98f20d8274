"""mmspec profile --symbolic, for a person and for machines."""

import json

import pytest
import sympy

import mmspec
from mmspec.cli.entry import run

ABSURD = """
inputs: {text: {type: text, vocab_size: 9000000000000000001, length: 4}}
encoders: {text: {type: text_transformer, width: 9000000000000000003, depth: 1, heads: 3, position: none}}
heads: {label: {type: classification, classes: 9000000000000000007}}
"""


def printed(capsys, *words):
    assert run(["profile", *words]) == 0
    return capsys.readouterr().out


def test_json_has_formulas_that_sympy_evaluates_to_the_price(capsys):
    data = json.loads(printed(capsys, "fusion_concat", "--symbolic", "--json"))
    assert [size["name"] for size in data["symbols"]] == ["B", "S", "N"]
    assert data["symbols"][1] == {
        "name": "S", "meaning": "side of image in pixels", "path": "inputs.image.size", "value": 32, "most": None,
    }  # fmt: skip
    names = {size["name"]: sympy.Symbol(size["name"]) for size in data["symbols"]}
    expected = mmspec.profile(mmspec.load("fusion_concat", ["inputs.image.size=64"]), 5, text=9)
    for figure in ("parameters.total", "flops.total", "memory.weights"):
        found = data["figures"][figure]
        expression = sympy.sympify(found["formula"], locals=names)
        assert expression.subs({names["B"]: 5, names["S"]: 64, names["N"]: 9}) == expected[figure]
        assert found["value"] == mmspec.profile(mmspec.load("fusion_concat"))[figure]
        assert "S mod 8 = 0" in found["conditions"]
    assert data["figures"]["flops.total"]["growth"] == {"B": 1, "S": 4, "N": 2}
    assert [part["term"] for part in data["largest"]["S"]] == ["flops.linear", "flops.attention"]
    peaks = data["peaks"]["S"]
    assert [part["to"] for part in peaks[:-1]] == [part["from"] - 1 for part in peaks[1:]]
    assert peaks[-1]["to"] is None


def test_a_text_may_be_shorter_and_a_batch_larger(capsys):
    data = json.loads(printed(capsys, "bert_base", "--symbolic", "--json", "--batch", "3", "--length", "text=100"))
    assert {size["name"]: size["value"] for size in data["symbols"]} == {"B": 3, "N": 100}
    expected = mmspec.profile(mmspec.load("bert_base"), 3, text=100)
    assert data["figures"]["memory.peak_inference"]["value"] == expected["memory.peak_inference"]


def test_sizes_beyond_64_bits_are_exact_integers_in_text_and_json(tmp_path, capsys):
    path = tmp_path / "absurd.yaml"
    path.write_text(ABSURD, encoding="utf-8")
    width, classes = 9 * 10**18 + 3, 9 * 10**18 + 7
    products = 4 * (24 * width**2 + 4 * 4 * width) + 2 * classes * width
    assert json.loads(printed(capsys, str(path), "--json"))["flops"]["total"] == products
    assert json.loads(printed(capsys, str(path), "--symbolic", "--json"))["figures"]["flops.total"]["value"] == products
    assert "e39" in printed(capsys, str(path))
    assert f"{products:,}" in printed(capsys, str(path), "--symbolic")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--symbol", "encoders.image.patch_size"), "expected PATH=NAME"),
        (("--symbol", "encoders.image.patch=P"), "'encoders.image.patch' is no whole number of vit_b16"),
        (("--symbol", "encoders.image.patch_size=S"), "'S' is no name for encoders.image.patch_size"),
        (("--symbolic", "--batch", "0"), "a batch has at least one sample, not 0"),
        (("--symbolic", "--device", "h200"), "they take no --device"),
        (("--symbolic", "--depth", "2"), "they have no other view"),
        (("--symbolic", "--exit-rates", "image=1"), "they take no --exit-rates"),
    ],
)
def test_what_cannot_be_a_formula_is_said(words, message, capsys):
    assert run(["profile", "vit_b16", *words]) == 2
    assert message in capsys.readouterr().err
