"""How wide a text is, without a font: an upper bound for the sans-serif faces that browsers fall back to.

The widths are those of DejaVu Sans, the widest of the common ones, rounded up by class of character; a test measures them.
"""

from __future__ import annotations

import unicodedata

_WIDTHS = {
    **dict.fromkeys("ijl'|", 0.34),
    **dict.fromkeys(" .,:;/\\-()[]fIt!", 0.42),
    **dict.fromkeys("Jr", 0.44),
    **dict.fromkeys('sczkvxyLTF?"`*_', 0.62),
    **dict.fromkeys("ABCDEGHKNOPQRSUVXZ&#+<=>~^", 0.84),
    **dict.fromkeys("mwMW%@×→…", 1.0),
}
_OTHER = 0.65
_BOLD = 1.13
_MONO = 0.62


def width(text: str, size: float, *, bold: bool = False, mono: bool = False) -> float:
    """Pixels that a text takes at most, at a font size in pixels."""
    ems = sum(_MONO if mono and c.isascii() else _width(c) for c in text)
    return ems * size * (_BOLD if bold else 1)


def cut(text: str, most: float, size: float, *, bold: bool = False, mono: bool = False) -> str:
    """The text, or as much of it as fits and an ellipsis."""
    if width(text, size, bold=bold, mono=mono) <= most:
        return text
    while text and width(text + "…", size, bold=bold, mono=mono) > most:
        text = text[:-1]
    return text.rstrip() + "…"


def _width(character: str) -> float:
    found = _WIDTHS.get(character)
    if found is not None:
        return found
    if character.isascii():
        return _OTHER
    if unicodedata.combining(character):
        return 0.0
    return 1.05
