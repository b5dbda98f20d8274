"""Plain scalars by YAML 1.2's core schema, in both directions.

`no`, `on` and `1_000` are texts, `1e-3` is a number, `010` is ten, `0o17` fifteen. Whole numbers have at most 19 digits.
"""

from __future__ import annotations

import json
import math
import re

Scalar = str | int | float | bool | None

DIGITS_LIMIT = 19
NUMBER_LIMIT = 64  # characters of any number

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_BASED = {"0o": (re.compile(r"0o[0-7]+"), 8), "0x": (re.compile(r"0x[0-9a-fA-F]+"), 16)}
_STARTS = frozenset("+-.0123456789")

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./+*()-]*(?: [A-Za-z0-9_./+*()-]+)*")
# what JSON leaves as it is and our reader refuses in a file: DEL, C1, marks of direction, separators, byte order marks, and
# surrogates, which cannot be UTF-8 at all
UNWELCOME = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff"
_ESCAPED = re.compile(f"[{UNWELCOME}]")


def parse(text: str) -> Scalar:
    """The value of a plain scalar.

    Raises   ValueError, with a message for the user: a number that is too long or too large.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _STARTS:
        return text
    if _INTEGER.fullmatch(text):
        if len(text.lstrip("+-0")) > DIGITS_LIMIT:
            raise ValueError(f"a whole number has at most {DIGITS_LIMIT} digits")
        return int(text)
    pattern, base = _BASED.get(text[:2], (None, 0))
    if pattern is not None:
        if not pattern.fullmatch(text):
            return text
        if len(text) > NUMBER_LIMIT or int(text, base) >= 10**DIGITS_LIMIT:
            raise ValueError(f"a whole number has at most {DIGITS_LIMIT} digits")
        return int(text, base)
    if not _FLOAT.fullmatch(text):
        return text
    if len(text) > NUMBER_LIMIT:
        raise ValueError(f"a number has at most {NUMBER_LIMIT} characters")
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number this large is not representable")
    return value


def write(value: Scalar) -> str:
    """The shortest plain or double-quoted scalar that `parse` or YAML's escapes read back as the same value."""
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value not in _WORDS and len(value) < 200:
            return value
        return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return repr(value)


def write_key(name: str) -> str:
    """A key: always read as the text it is, so `no` and `1` need no quotes, but what is not plain does."""
    return name if _PLAIN.fullmatch(name) and len(name) < 100 else write(name)
