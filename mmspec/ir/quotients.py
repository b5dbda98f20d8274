"""Integer divisions of sizes, as they are: floor(S/16) is an atom of a polynomial, in lowest terms, so that equal ones are one."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mmspec.ir.dims import Atom, Dim, Monomial, Polynomial, bind, put, simplest, symbol


class Quotient(Atom):
    """The name of floor(dim / by), in lowest terms: what divides without a rest is outside (`quotient`)."""

    dim: Polynomial
    by: Dim

    def __new__(cls, dim: Polynomial, by: Dim) -> Quotient:
        up = isinstance(by, int) and by > 1 and dim.terms.get((), 0) == by - 1
        inner = dim - (by - 1) if up else dim
        self = super().__new__(cls, f"{'ceil' if up else 'floor'}({_inside(inner)}/{_inside(by)})")
        self.dim, self.by = dim, by
        return self

    def bind(self, sizes: Mapping[str, int]) -> Dim:
        return quotient(bind(self.dim, sizes), bind(self.by, sizes))

    def put(self, table: Mapping[str, Dim]) -> Dim | None:
        dim, by = put(self.dim, table), put(self.by, table)
        return None if dim is self.dim and by is self.by else quotient(dim, by)

    @property
    def parts(self) -> tuple[Dim, ...]:
        return (self.dim, self.by)


def quotient(dim: Dim, by: Dim) -> Dim:
    """floor(dim / by): a polynomial where the division leaves no rest whatever the sizes, else with an atom for it.

    floor((17 S + 20) / 16) = S + 1 + floor((S + 4) / 16)
    floor(-S / 7)           = -floor((S + 6) / 7)
    floor((floor((S + 1) / 2) + 1) / 2) = floor((S + 3) / 4)
    """
    if isinstance(by, int):
        if isinstance(dim, int):
            return dim // by
        return quotient(dim * -1, -by) if by < 0 else _quotient(dim, by)
    if dim == 0:
        return 0
    if isinstance(dim, int):
        return symbol(Quotient(Polynomial({(): dim}), by))
    exact = _divided(dim, by)
    if exact is not None:
        return exact
    outside: Dim = 0
    for monomial, coefficient in dim.terms.items():  # floor((S + P) / P) = floor(S/P) + 1
        whole = _divided(Polynomial({monomial: coefficient}), by)
        outside = outside if whole is None else outside + whole
    rest = dim - by * outside
    return outside + (quotient(rest, by) if isinstance(rest, int) else symbol(Quotient(rest, by)))


def _quotient(dim: Polynomial, by: int) -> Dim:
    whole = {m: int(math.copysign(abs(c) // by, c)) if m else c // by for m, c in dim.terms.items()}
    rest = {m: c - by * whole[m] for m, c in dim.terms.items()}
    outside = simplest(whole)
    growing = [c for m, c in rest.items() if m and c]
    if not growing:
        return outside
    leading = rest[min(m for m, c in rest.items() if m and c)]
    if leading < 0:
        return outside - quotient(Polynomial({m: -c for m, c in rest.items()}) + (by - 1), by)
    shared = math.gcd(by, *growing)
    inner = Polynomial({m: c // shared for m, c in rest.items()})
    by //= shared
    only = next(m for m in inner.terms if m)
    single = len(growing) == len(only) == only[0][1] == inner.terms[only] == 1
    if single and isinstance(atom := only[0][0], Quotient) and isinstance(atom.by, int):
        return outside + quotient(atom.dim + atom.by * inner.terms.get((), 0), atom.by * by)
    return outside + symbol(Quotient(inner, by))


def _divided(dim: Polynomial, by: Polynomial) -> Dim | None:
    """dim / by where that is a polynomial, else None."""
    names = sorted({name for p in (dim, by) for m in p.terms for name, _ in m})

    def order(monomial: Monomial) -> tuple[int, ...]:
        powers = dict(monomial)
        return tuple(powers.get(name, 0) for name in names)

    first = max(by.terms, key=order)
    result: Dim = 0
    rest: Dim = dim
    while isinstance(rest, Polynomial):
        leading = max(rest.terms, key=order)
        powers = dict(leading)
        for name, power in first:
            powers[name] = powers.get(name, 0) - power
        if min(powers.values()) < 0 or rest.terms[leading] % by.terms[first]:
            return None
        monomial = tuple(sorted((name, power) for name, power in powers.items() if power))
        term = simplest({monomial: rest.terms[leading] // by.terms[first]})
        result, rest = result + term, rest - by * term
    return result if rest == 0 else None


def _inside(dim: Dim) -> str:
    return f"({dim})" if isinstance(dim, Polynomial) and (len(dim.terms) > 1 or "*" in str(dim)) else str(dim)
