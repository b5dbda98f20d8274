"""How many tokens an expert has room for."""

from __future__ import annotations

from fractions import Fraction


def seats(factor: float, choices: int, experts: int) -> int:
    """So many times the even share, rounded up: ceil(factor * choices / experts)."""
    parts, whole = as_fraction(factor)
    return -(-choices * parts // (whole * experts))


def as_fraction(factor: float) -> tuple[int, int]:
    """What was written, 1.1 and not 1.100000000000000089: every runtime computes whole numbers alike."""
    exact = Fraction(str(factor)).limit_denominator(1000)
    return exact.numerator, exact.denominator
