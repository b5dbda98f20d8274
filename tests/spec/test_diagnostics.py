"""What a user sees: every case of diagnostics.txt to the letter, and how a diagnostic is drawn."""

from pathlib import Path

import pytest
from small import CATALOGUE, FLAGSHIP

from mmspec.errors import UserError
from mmspec.spec import Diagnostic, Position, SpecError, read
from mmspec.spec.diagnostics import SHOWN, in_words, nearest
from mmspec.spec.source import Source

CASES = [
    (name, *body.split("\n---\nerror:", 1))
    for case in (Path(__file__).parent / "diagnostics.txt")
    .read_text(encoding="utf-8")
    .removeprefix("=== ")
    .split("\n\n=== ")
    for name, body in [case.split("\n", 1)]
]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_mistake_is_located_and_said_in_the_users_words(text: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(text + "\n", CATALOGUE, "case.yaml")
    assert str(caught.value) == "error:" + expected.rstrip("\n")


def test_every_caret_stands_under_what_the_position_says() -> None:
    for _, text, _ in CASES:
        with pytest.raises(SpecError) as caught:
            read(text + "\n", CATALOGUE, "case.yaml")
        for diagnostic in caught.value.diagnostics:
            if (position := diagnostic.position) is None:
                continue
            lines = str(diagnostic).splitlines()
            caret = next(
                i
                for i, line in enumerate(lines)
                if set(line.split(" | ", 1)[-1].split(" ")[-1]) == {"^"} or " ^" in line
            )
            gutter = len(str(position.line)) + 3
            assert lines[caret].index("^") - gutter == position.column - 1
            assert lines[caret - 1][gutter:] == text.split("\n")[position.line - 1].replace("\t", " ").rstrip()


def test_diagnostics_come_in_the_order_of_the_file_and_once() -> None:
    source = Source("a.yaml", "x: 1\ny: 2\n")
    first, second = (Diagnostic(f"line {line}", Position(source, line, 1, line, 2)) for line in (1, 2))
    assert SpecError([second, first, second]).diagnostics == (first, second)


def test_many_diagnostics_are_counted_rather_than_shown() -> None:
    source = Source("a.yaml", "x\n" * 50)
    error = SpecError(Diagnostic("wrong", Position(source, line, 1, line, 2)) for line in range(1, 51))
    assert str(error).count("error: wrong") == SHOWN
    assert str(error).endswith(f"... and {50 - SHOWN} more errors")
    assert len(error.diagnostics) == 50


def test_a_machine_gets_the_same_as_data() -> None:
    with pytest.raises(SpecError) as caught:
        read(FLAGSHIP.replace("patch_size", "patch_sise"), CATALOGUE, "a.yaml")
    assert caught.value.to_dict()["errors"] == [
        {
            "message": "unknown key 'patch_sise' of vit, did you mean 'patch_size'?",
            "file": "a.yaml",
            "line": 6,
            "column": 22,
            "end_line": 6,
            "end_column": 32,
            "label": None,
            "notes": ["vit has: from, frozen, tie, average_of, type, patch_size, width, depth, heads, dropout, stages"],
        }
    ]


def test_a_mistake_in_a_spec_is_the_users_to_mend() -> None:
    assert issubclass(SpecError, UserError)


def test_the_caret_counts_columns_of_the_screen_not_characters() -> None:
    source = Source("a.yaml", "名前: ｘ\n")
    assert str(Diagnostic("wrong", Position(source, 1, 5, 1, 6))).splitlines()[3:] == ["1 | 名前: ｘ", "  |       ^^"]


def test_a_long_line_is_cut_around_the_caret() -> None:
    source = Source("a.yaml", "[" + "x, " * 1000 + "BAD, " + "y, " * 1000 + "]")
    drawn = str(Diagnostic("wrong", Position(source, 1, 3002, 1, 3005))).splitlines()
    start = drawn[4].index("^")
    assert drawn[3][start : start + 3] == "BAD" and drawn[4].strip(" |") == "^^^"
    assert max(map(len, drawn)) < 160


def test_a_label_stands_beside_the_caret_and_a_diagnostic_without_place_names_the_file() -> None:
    source = Source("a.yaml", "x: 1")
    assert str(Diagnostic("wrong", Position(source, 1, 4, 1, 5), label="here")).endswith("1 | x: 1\n  |    ^ here")
    assert str(Diagnostic("wrong", file="a.yaml", notes=("so",))) == "error: wrong\n --> a.yaml\n = so"


@pytest.mark.parametrize(
    ("name", "found"),
    [("gate", "gated"), ("GATED", "gated"), ("conct", "concat"), ("zebra", None), (3, None), ("x" * 10**6, None)],
)
def test_the_nearest_name_is_near(name: object, found: str | None) -> None:
    assert nearest(name, ["gated", "concat", "attention"]) == found


def test_values_in_words() -> None:
    assert [in_words(value) for value in (None, True, "8", 8, 1e-3, {}, (), "\u202e")] == [
        "nothing (null)", "true", "the text '8'", "8", "0.001", "a mapping", "a list", r"the text '\u202e'",
    ]  # fmt: skip
