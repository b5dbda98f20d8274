"""Numbers as people say them: 811 k, 2.41 M, 35.1 G, 36.7 µs, with three significant digits."""

from __future__ import annotations

_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def quantity(number: float | None, unit: str = "") -> str:
    """2_412_345 -> "2.41 M"; with a unit, "2.41 MB"; what is not known is "unknown"."""
    if number is None:
        return "unknown"
    if abs(number) >= 1e18 * 0.9995:  # no prefix that people know; a float may not hold it
        digits = str(abs(int(number)))
        text = f"{'-' if number < 0 else ''}{digits[0]}.{digits[1:3]}e{len(digits) - 1}"
        return f"{text} {unit}".rstrip()
    for size, prefix in _UNITS:
        if abs(number) >= size * 0.9995:
            return f"{_three_digits(number / size)} {prefix}{unit}"
    text = f"{number:,.0f}" if number == int(number) else _three_digits(number)
    return f"{text} {unit}".rstrip()


def duration(seconds: float) -> str:
    """0.0000367 -> "36.7 µs", 591 -> "591 s"."""
    if not seconds:
        return "0 s"
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size * 0.9995:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds * 1e9)} ns"


def share(part: float, whole: float) -> str:
    """A percentage that never rounds something to nothing: "34 %", "0.2 %", "< 0.1 %"."""
    if not whole:
        return "0 %"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent >= 9.95 or percent == 0 else f"{percent:.1f} %"


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if abs(number) >= 99.95 else f"{number:.1f}" if abs(number) >= 9.995 else f"{number:.2f}"
