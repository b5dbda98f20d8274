"""Whatever is done to a spec, it is read or refused with a place: never another exception."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import CATALOGUE, FLAGSHIP
from test_domains import OPEN

from mmspec.spec import SpecError, read

PIECES_TEXT = (
    "[ ] { } , : - # ' \" | > ? & * ! % @ \n \t null ~ no 0 -1 1e-3 .inf image text joint label type: use: choice: int: float: "
    "default: step: log: from: extends: variants: definitions: outputs: gated top_k vit [] {} 9999999999999999999999 é \u202e <<: --- ..."
)
PIECES = PIECES_TEXT.split(" ")
REUSE = """\
definitions: {few: {type: top_k, experts: 2}}
variants: {small: {encoders.image.width: 64, fusion.joint.router: {use: few}}}
"""


def mutated(text: str, seed: int, changes: int) -> str:
    """The text with some words replaced, dropped, doubled, swapped or joined by pieces of the language."""
    rng = random.Random(seed)
    for _ in range(changes):
        i = rng.randrange(len(text) + 1)
        j = min(len(text), i + rng.choice((0, 1, 2, 5, 20)))
        k = rng.randrange(len(text) + 1)
        text = (
            text[:i]
            + rng.choice(("", text[i:j] * 2, rng.choice(PIECES), " " + rng.choice(PIECES) + " ", text[k : k + 9]))
            + text[j:]
        )
    return text


def located(error: SpecError) -> None:
    assert error.diagnostics and str(error)
    assert all(found.position or found.file for found in error.diagnostics)


@given(st.sampled_from([FLAGSHIP, OPEN, FLAGSHIP + REUSE]), st.integers(0, 2**32), st.integers(1, 6))
@settings(max_examples=600)
def test_a_spoilt_spec_is_read_or_refused_with_a_place(text: str, seed: int, changes: int) -> None:
    try:
        spec = read(mutated(text, seed, changes), CATALOGUE, "a.yaml", variant=None)
    except SpecError as error:
        located(error)
        return
    try:
        closed = spec.require_closed()
    except SpecError as error:
        located(error)
        return
    resolved = closed.to_yaml(origins=True)
    assert read(resolved, CATALOGUE) == closed


@given(
    st.lists(
        st.sampled_from(
            [
                "fusion",
                "joint",
                "router",
                "encoders",
                "image",
                "width",
                "objectives",
                "0",
                "x",
                "[gated]",
                "",
                "-1",
                "from",
            ]
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(
        ["4", "null", "{type: top_k}", "[image]", "{choice: [1, 2]}", "{use: x}", "dense", "{}", "[", "1e-3", ""]
    ),
)
@settings(max_examples=300)
def test_any_override_is_taken_or_refused_with_a_place(path: list[str], value: str) -> None:
    override = ".".join(path).replace(".[", "[") + "=" + value
    for text in (FLAGSHIP, OPEN):
        try:
            read(text, CATALOGUE, "a.yaml", [override])
        except SpecError as error:
            located(error)


@pytest.mark.parametrize(
    "value", [None, True, 3, 2.5, "x", "gated", [], [1], {}, {"type": "top_k"}, {"a": {"b": 1}}, float("nan"), object()]
)
def test_any_choice_is_taken_or_refused(value: object) -> None:
    spec = read(OPEN, CATALOGUE, "a.yaml")
    for path in (
        "fusion.joint",
        "fusion.joint.depth",
        "fusion.joint.router",
        "encoders.image",
        "encoders",
        "objectives.0",
        "name",
        "x.y",
        "",
    ):
        try:
            spec.choose({path: value})
        except SpecError as error:
            located(error)
