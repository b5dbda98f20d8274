"""Values on an axis of a figure: to pixels, and where the ticks stand."""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST_TICKS = 9
MOST_STEPS = 1e3  # between the ends of a logarithmic axis with ticks at 1, 2 and 5


@dataclass(frozen=True)
class Scale:
    """`log`: where values span more than a factor or two, all above 0."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, v = (math.log(x) for x in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return (
            self.start + (v - low) / (high - low) * (self.end - self.start)
            if high > low
            else (self.start + self.end) / 2
        )

    def ticks(self) -> list[float]:
        """Round values from low to high: 1, 2, 5 times a power of ten; powers alone over more than three of them."""
        if self.log:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            factors = (1, 2, 5) if self.high / self.low <= MOST_STEPS else (1,)
            found = [t for e in exponents for factor in factors if self.low <= (t := factor * 10.0**e) <= self.high]
            return found[:: -(-len(found) // MOST_TICKS)] if found else []
        span = self.high - self.low
        step = 10 ** math.floor(math.log10(span / 4)) if span > 0 else 1.0
        step *= next(m for m in (1, 2, 5, 10) if span / (step * m) <= 7)
        first = math.ceil(self.low / step - 1e-9)
        return [first * step + i * step for i in range(int((self.high - first * step) / step + 1e-9) + 1)]
