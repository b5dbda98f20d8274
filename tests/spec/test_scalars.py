"""Scalars by YAML 1.2's core schema, there and back."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmspec.spec import scalars
from mmspec.spec.reader import read_text, read_tree
from mmspec.spec.tree import plain

TABLE = {
    "no": "no", "No": "No", "on": "on", "off": "off", "yes": "yes", "y": "y",
    "true": True, "True": True, "FALSE": False, "tRue": "tRue",
    "null": None, "~": None, "Null": None, "nULL": "nULL", "none": "none",
    "8": 8, "-8": -8, "+8": 8, "010": 10, "0o17": 15, "0x1F": 31, "0b11": "0b11", "1_000": "1_000", "0o8": "0o8", "0xg": "0xg",
    "1e-3": 1e-3, "1E3": 1000.0, "1.": 1.0, ".5": 0.5, "-.5e1": -5.0, "1.5": 1.5, "1e": "1e", ".": ".", "1.2.3": "1.2.3", "e3": "e3",
    ".inf": math.inf, "-.Inf": -math.inf, "+.INF": math.inf, "inf": "inf", "nan": "nan",
    "12:30": "12:30", "2024-01-01": "2024-01-01", "0.1.0": "0.1.0", "-": "-", "+": "+", "9999999999999999999": 9999999999999999999,
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), TABLE.items())
def test_a_plain_scalar_is_what_yaml_1_2_says(text: str, value: object) -> None:
    found = scalars.parse(text)
    assert found == value and type(found) is type(value)


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(scalars.parse(".nan"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["1" * 20, "-" + "9" * 20, "0x" + "F" * 17, "0o" + "7" * 30, "1e999", "-1e999", "0." + "1" * 64]
)
def test_a_number_out_of_reach_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"digits|characters|representable"):
        scalars.parse(text)


def test_leading_zeros_are_not_digits() -> None:
    assert scalars.parse("0" * 30 + "12") == 12


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**19) + 1, 10**19 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=30),
    st.sampled_from(list(TABLE)),
    st.text(st.characters(codec="utf-8", categories=["Cc", "Cf", "Zl", "Zp", "Co", "So"]), max_size=8),
)


@given(
    st.recursive(
        values,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=3),
    )
)
@example("1e-3")
@example("no")
@example("a: b")
@example("- x")
@example("a #b")
@example("\u202e")
@example("\x85\u2028")
@example("<<")
def test_what_is_written_reads_back_as_the_same_value(value: object) -> None:
    def written(value: object) -> str:
        if isinstance(value, list):
            return "[" + ", ".join(map(written, value)) + "]"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{scalars.write_key(key)}: {written(item)}" for key, item in value.items()) + "}"
        return scalars.write(value)  # type: ignore[arg-type]

    def frozen(value: object) -> object:
        if isinstance(value, dict):
            return {key: frozen(item) for key, item in value.items()}
        return tuple(map(frozen, value)) if isinstance(value, list) else value

    for text in (f"key: {written(value)}\n", f"key: [{written(value)}, {{a: {written(value)}}}]\n"):
        found = plain(read_tree(read_text(text)))["key"]
        expected = (
            frozen(value)
            if not text.startswith("key: [") or found == frozen(value)
            else (frozen(value), {"a": frozen(value)})
        )
        assert found == expected
        assert repr(found) == repr(expected), "1, 1.0 and true are equal in Python but not the same"
