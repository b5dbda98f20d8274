"""Limits on the price of a spec: `parameters.total <= 2e6`, `flops <= 50 MFLOP`, `memory.weights <= 8 MiB`.

A limit is read by the grammar below and by nothing else; it is never evaluated as code.

    limit  =  figure  ("<=" | ">=")  amount
    amount =  number  [prefix]  [unit]
    prefix =  k | M | G | T | P  (powers of 1000)  |  Ki | Mi | Gi | Ti | Pi  (powers of 1024)
    unit   =  FLOP | FLOPs  (figures of flops)  |  B  (figures of memory)
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ALIASES: Mapping[str, str] = {"flops": "flops.total", "parameters": "parameters.total"}

_AMOUNT = r"(?P<number>[+-]?(?:\d[\d_]*)(?:\.\d*)?(?:[eE][+-]?\d+)?) \s* (?P<prefix>[kKMGTP]i?)? (?P<unit>FLOPs?|B)?"
_ALONE = re.compile(rf"\s* {_AMOUNT} \s*", re.VERBOSE)
_LIMIT = re.compile(rf"\s* (?P<figure>[A-Za-z_][\w.]*) \s* (?P<relation><=|>=|<|>|==|=) \s* {_AMOUNT} \s*", re.VERBOSE)
_POWERS = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_UNITS = {"FLOP": "flops", "FLOPs": "flops", "B": "memory"}
_WORK = ("forward", "backward", "decoding")  # groups of figures that have both
_GROUPS = {"flops": ("flops", *_WORK), "memory": ("memory", "fit", "communication", *_WORK)}  # that have a unit
_MISTAKEN = (  # what people write, and what it would have meant
    (re.compile(r"FLOPS$|/s$"), "that is a rate, operations per second; a price is in FLOPs, such as 20G or 20 GFLOP"),
    (re.compile(r"MACs?$", re.IGNORECASE), "multiply-adds are not FLOPs; a multiply-add is 2"),
    (re.compile(r"[kmgtp]i?b(its?)?$"), "bytes are written 8 GiB (powers of 1024) or 8 GB (powers of 1000)"),
    (re.compile(r"[gtp]$"), "prefixes are k, M, G, T, P, and Ki, Mi, Gi, Ti, Pi"),
)
_EXAMPLES = {"flops": "20G or 20 GFLOP", "memory": "8 GiB or 500 MB", "parameters": "100M or 2e6"}


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
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise LimitError(f"'{text}' is not a limit; write figure <= number, such as parameters.total <= 2M")
    relation = match["relation"]
    if relation not in ("<=", ">="):
        meant = "<=" if "<" in relation else ">=" if ">" in relation else None
        raise LimitError(f"a limit uses <= or >=, not '{relation}'" + (f"; did you mean '{meant}'?" if meant else ""))
    figure = canonical(match["figure"])
    return Limit(
        figure, "<=" if relation == "<=" else ">=", _value(match, figure, f"the bound of '{text}'"), text.strip()
    )


def amount(text: str, figure: str) -> float:
    """A number of a figure's kind: ("20 GFLOP", "flops.total") -> 2e10, ("8GiB", "memory.weights") -> 8 * 1024**3.

    Raises   LimitError: not an amount, of another kind, or negative
    """
    match = _ALONE.fullmatch(text)
    kind = figure.partition(".")[0]
    if match is None:
        why = next(
            (why for mistaken, why in _MISTAKEN if mistaken.search(text.strip())),
            f"write {_EXAMPLES.get(kind, 'a number')}",
        )
        raise LimitError(f"'{text}' is not an amount of {kind}: {why}")
    value = _value(match, figure, f"'{text}'")
    if value < 0:
        raise LimitError(f"'{text}' is below nothing")
    return value


def _value(match: re.Match[str], figure: str, called: str) -> float:
    kind = _UNITS.get(match["unit"] or "")
    if kind and figure.split(".")[0] not in _GROUPS[kind]:
        raise LimitError(f"{match['unit']} is a unit of {kind}, not of {figure}")
    value = float(match["number"].replace("_", ""))
    if prefix := match["prefix"]:
        value *= (1024.0 if prefix.endswith("i") else 1000.0) ** _POWERS[prefix[0]]
    if not math.isfinite(value):
        raise LimitError(f"{called} is not a finite number")
    return value
