"""Sizes: an integer, or a polynomial in the sizes that are known only when the model runs.

`B` is the batch, `N` the length of a text. A walk over a graph that computes with sizes gives numbers when the symbols are
bound and a formula when they are not. How many blocks cover a length is no polynomial: such a number, ceil(N/64), is an atom, a
symbol of its own that knows what it is bound to once N is. So is every other integer division that leaves a rest
(`quotients`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Union

Dim = Union[int, "Polynomial"]
Shape = tuple[Dim, ...]
Monomial = tuple[tuple[str, int], ...]  # (("B", 1), ("N", 2)) is B * N**2


class Polynomial:
    """A polynomial with integer coefficients in named sizes; immutable, compared by value."""

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        self.terms = {m: c for m, c in terms.items() if c}
        self._hash: int | None = None

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self.terms.items()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Polynomial) and self.terms == other.terms

    def __add__(self, other: Dim) -> Dim:
        terms = dict(self.terms)
        for m, c in _terms(other).items():
            terms[m] = terms.get(m, 0) + c
        return simplest(terms)

    __radd__ = __add__

    def __sub__(self, other: Dim) -> Dim:
        return self + other * -1

    def __rsub__(self, other: Dim) -> Dim:
        return self * -1 + other

    def __mul__(self, other: Dim) -> Dim:
        terms: dict[Monomial, int] = {}
        for m1, c1 in self.terms.items():
            for m2, c2 in _terms(other).items():
                m = _product(m1, m2)
                terms[m] = terms.get(m, 0) + c1 * c2
        return simplest(terms)

    __rmul__ = __mul__

    def bind(self, sizes: Mapping[str, int]) -> Dim:
        """The value where every symbol in `sizes` has that size; a polynomial in the rest."""
        total: Dim = 0
        for monomial, coefficient in self.terms.items():
            term: Dim = coefficient
            for name, power in monomial:
                factor: Dim = name.bind(sizes) if isinstance(name, Atom) else sizes.get(name, symbol(name))
                for _ in range(power):
                    term = term * factor
            total = total + term
        return total

    def __str__(self) -> str:
        ordered = sorted(self.terms.items(), key=lambda item: (-sum(p for _, p in item[0]), item[0]))
        return " + ".join(_term(m, c) for m, c in ordered).replace("+ -", "- ") or "0"

    __repr__ = __str__


class Atom(str):
    """The name of a number that is no polynomial in what it is made of."""

    def bind(self, sizes: Mapping[str, int]) -> Dim:
        raise NotImplementedError

    def put(self, table: Mapping[str, Dim]) -> Dim | None:
        """What it is with other sizes in the place of some; None where it has none of them."""
        raise NotImplementedError

    @property
    def parts(self) -> tuple[Dim, ...]:
        """What it is made of."""
        raise NotImplementedError


class Blocks(Atom):
    """The name of a number of blocks: those of `size` that cover `dim`, and no fewer than `least`."""

    dim: Polynomial
    size: int
    least: int

    def __new__(cls, dim: Polynomial, size: int, least: int) -> Blocks:
        inner = f"({dim})" if len(dim.terms) > 1 else str(dim)
        text = f"ceil({inner}/{size})"
        self = super().__new__(cls, f"max({text}, {least})" if least else text)
        self.dim, self.size, self.least = dim, size, least
        return self

    def bind(self, sizes: Mapping[str, int]) -> Dim:
        return blocks(self.dim.bind(sizes), self.size, self.least)

    def put(self, table: Mapping[str, Dim]) -> Dim | None:
        dim = put(self.dim, table)
        return None if dim is self.dim else blocks(dim, self.size, self.least)

    @property
    def parts(self) -> tuple[Dim, ...]:
        return (self.dim,)


@cache
def symbol(name: str) -> Polynomial:
    return Polynomial({((name, 1),): 1})


def blocks(dim: Dim, size: int, least: int = 0) -> Dim:
    """How many blocks of `size` cover a size, at least `least`: ceil(dim / size)."""
    if isinstance(dim, int):
        return max(least, -(-dim // size))
    return dim if size == 1 and not least else symbol(Blocks(dim, size, least))


def symbols(dim: Dim) -> frozenset[str]:
    """The sizes that it depends on."""
    found: set[str] = set()
    for monomial in _terms(dim):
        for name, _ in monomial:
            found |= frozenset().union(*map(symbols, name.parts)) if isinstance(name, Atom) else {name}
    return frozenset(found)


def put(dim: Dim, table: Mapping[str, Dim]) -> Dim:
    """The same with other sizes in the place of some symbols and atoms, wherever they stand."""
    if isinstance(dim, int) or not table:
        return dim
    total: Dim = 0
    changed = False
    for monomial, coefficient in dim.terms.items():
        term: Dim = coefficient
        for name, power in monomial:
            factor = table.get(name)
            if factor is None and isinstance(name, Atom):
                factor = name.put(table)
            changed = changed or factor is not None
            for _ in range(power):
                term = term * (symbol(name) if factor is None else factor)
        total = total + term
    return total if changed else dim


def bind(dim: Dim, sizes: Mapping[str, int]) -> Dim:
    return dim if isinstance(dim, int) else dim.bind(sizes)


def scaled(size: int, factor: float) -> int:
    """round(factor * size) in whole numbers, of what was written: as exact for a width of 10^18 as for one of 10."""
    parts, whole = _fraction(factor)
    if whole == 1:
        return parts * size
    nearest, rest = divmod(2 * parts * size + whole, 2 * whole)
    return nearest - nearest % 2 if rest == 0 else nearest


@cache
def _fraction(factor: float) -> tuple[int, int]:
    from fractions import Fraction

    exact = Fraction(str(factor))
    return exact.numerator, exact.denominator


def value_of(dim: Dim, sizes: Mapping[str, int]) -> int:
    """The number at these sizes, which are all that it depends on."""
    value = bind(dim, sizes)
    assert isinstance(value, int), f"{value} is not bound"
    return value


def product(dims: Iterable[Dim]) -> Dim:
    number: int = 1
    rest: Dim = 1
    for dim in dims:
        if isinstance(dim, int):
            number *= dim
        else:
            rest = rest * dim
    return rest * number


def _terms(dim: Dim) -> Mapping[Monomial, int]:
    return dim.terms if isinstance(dim, Polynomial) else {(): dim}


def simplest(terms: Mapping[Monomial, int]) -> Dim:
    """An integer where no symbol is left."""
    result = Polynomial(terms)
    return result.terms.get((), 0) if all(m == () for m in result.terms) else result


def _product(a: Monomial, b: Monomial) -> Monomial:
    powers = dict(a)
    for name, power in b:
        powers[name] = powers.get(name, 0) + power
    return tuple(sorted(powers.items()))


def _term(monomial: Monomial, coefficient: int) -> str:
    factors = [name if power == 1 else f"{name}^{power}" for name, power in monomial]
    if abs(coefficient) != 1 or not factors:
        factors.insert(0, str(coefficient))
    elif coefficient == -1:
        factors[0] = f"-{factors[0]}"
    return "*".join(factors)
