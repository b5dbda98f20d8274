"""Limits of a study: `parameters.total <= 2e6`, `flops <= 50 MFLOP`, `memory.weights <= 8 MiB`.

A limit is read by the grammar below and by nothing else; it is never evaluated as code.

    limit  =  figure  ("<=" | ">=")  number  [prefix]  [unit]
    prefix =  k | M | G | T  (powers of 1000)  |  Ki | Mi | Gi | Ti  (powers of 1024)
    unit   =  FLOP | FLOPs  (figures of flops)  |  B  (figures of memory)
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ALIASES: Mapping[str, str] = {"flops": "flops.total", "parameters": "parameters.total"}

_LIMIT = re.compile(
    r"""\s* (?P<figure>[A-Za-z_][\w.]*)
        \s* (?P<relation><=|>=|<|>|==|=)
        \s* (?P<number>[+-]?(?:\d[\d_]*)(?:\.\d*)?(?:[eE][+-]?\d+)?)
        \s* (?P<prefix>[kKMGT]i?)? (?P<unit>FLOPs?|B)? \s* $""",
    re.VERBOSE,
)
_POWERS = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
_UNITS = {"FLOP": "flops", "FLOPs": "flops", "B": "memory"}


class LimitError(ValueError):
    """The text is not a limit; the message says what a limit looks like."""


@dataclass(frozen=True)
class Limit:
    figure: str
    relation: Literal["<=", ">="]
    bound: float
    text: str

    def violation(self, value: float) -> float:
        """How far `value` breaks the limit, as a share of the bound: 0 or less when it is kept, 0.5 at half as much again.

        Shares, because samplers add the violations of all limits up: bytes would drown everything else.
        """
        excess = value - self.bound if self.relation == "<=" else self.bound - value
        return excess / abs(self.bound) if self.bound else excess

    def __str__(self) -> str:
        return f"{self.figure} {self.relation} {self.bound:g}"


def canonical(name: str) -> str:
    """`flops` -> `flops.total`; other names are themselves."""
    return ALIASES.get(name, name)


def parse_limit(text: str) -> Limit:
    """Raises LimitError: not of the form above, a strict or equal relation, or a unit of another kind than the figure's."""
    match = _LIMIT.match(text)
    if match is None:
        raise LimitError(f"'{text}' is not a limit; write figure <= number, such as parameters.total <= 2M")
    relation = match["relation"]
    if relation not in ("<=", ">="):
        meant = "<=" if "<" in relation else ">=" if ">" in relation else None
        raise LimitError(f"a limit uses <= or >=, not '{relation}'" + (f"; did you mean '{meant}'?" if meant else ""))
    figure = canonical(match["figure"])
    kind = _UNITS.get(match["unit"] or "")
    if kind and figure.split(".")[0] != kind:
        raise LimitError(f"{match['unit']} is a unit of {kind}, not of {figure}")
    bound = float(match["number"].replace("_", ""))
    if prefix := match["prefix"]:
        bound *= (1024.0 if prefix.endswith("i") else 1000.0) ** _POWERS[prefix[0]]
    if not math.isfinite(bound):
        raise LimitError(f"the bound of '{text}' is not a finite number")
    return Limit(figure, "<=" if relation == "<=" else ">=", bound, text.strip())
