"""What formulas say: how a cost grows with each size, which term is the largest where, and short names to read them by.

growth(formula, "S")                              # 4: B*floor(S/16)^4
largest(price, "S")                               # ((16, "linear"), (1936, "attention"))
Names(price).text(formula)                        # "36,864*B*T^2", with T = floor(S/16)^2 + 1
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from mmspec.cost.formulas import MOST, Formulas
from mmspec.cost.symbolic import SymbolicProfile, spacing
from mmspec.cost.work import FAMILIES
from mmspec.ir import Dim
from mmspec.ir.dims import Atom, Monomial, Polynomial, put, simplest, symbol, symbols, value_of
from mmspec.ir.quotients import Quotient, quotient
from mmspec.spec import SpecError


def growth(dim: Dim, name: str) -> int:
    """The power of one size that a formula grows with, or falls with where it grows with none; a size over a number counts as
    the size."""
    if isinstance(dim, int):
        return 0
    powers = [sum(power * _power(factor, name) for factor, power in monomial) for monomial in dim.terms]
    return max(powers) if max(powers) > 0 else min(powers)


def _power(factor: str, name: str) -> int:
    if isinstance(factor, Quotient):
        return growth(factor.dim, name) - growth(factor.by, name)
    return max(growth(part, name) for part in factor.parts) if isinstance(factor, Atom) else int(factor == name)


def families(price: SymbolicProfile, piece: Formulas | None = None) -> dict[str, Dim]:
    """The products of a pass by class, as far as there are any."""
    found = {family: (piece or price.base).figures[f"flops.{family}"] for family in FAMILIES}
    return {family: dim for family, dim in found.items() if dim != 0}


def largest(price: SymbolicProfile, name: str) -> tuple[tuple[int, str], ...]:
    """From which size on which class of products costs the most, the others as in the spec, from the smallest size to the
    largest that the formulas at the spec's own sizes hold at."""
    terms = families(price)
    least, most = price.range("flops.total", name)
    step, rest = spacing(price, name)

    def first(size: int) -> int:
        return size + (rest - size) % step

    def winner(size: int) -> str:
        at = {**price.sizes, name: first(size)}
        return max(terms, key=lambda family: value_of(terms[family], at))

    if not terms:
        return ()
    grid = sorted({least, most or MOST, price[name].value, *_grid(least, most or MOST)})
    found = [(first(least), winner(least))]
    for before, after in pairwise(grid):
        while winner(after) != found[-1][1]:
            low, high = before, after
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if winner(middle) == found[-1][1] else (low, middle)
            found.append((first(high), winner(high)))
            before = high
    return tuple(found)


@dataclass(frozen=True)
class Stretch:
    """A formula, and the sizes of one symbol at which it holds."""

    least: int
    most: int | None
    formula: Dim


def along(price: SymbolicProfile, figure: str, name: str, at_most: int = 3) -> tuple[Stretch, ...]:
    """A figure's formulas along one size, smallest first, the others as in the spec: the one at the spec's own size, and as many
    as `at_most` on either side of it."""
    step, rest = spacing(price, name)
    largest = price[name].most or MOST
    least, most = price.range(figure, name)
    found = [Stretch(least, most, price.base.figures[figure])]
    for up in (True, False):
        for _ in range(at_most):
            last = found[-1 if up else 0]
            if up and (last.most is None or last.most >= largest):
                break
            size = last.most + 1 + (rest - last.most - 1) % step if up and last.most else last.least - 1
            size -= 0 if up else (size - rest) % step
            if not 1 <= size <= largest:
                break
            try:
                piece = price.piece(figure, **{name: size})
            except SpecError:
                break
            least, most = price.range(figure, name, piece, size)
            if piece.figures[figure] == last.formula:
                found[-1 if up else 0] = Stretch(min(least, last.least), most if up else last.most, last.formula)
            else:
                new = Stretch(least, most, piece.figures[figure])
                found = [*found, new] if up else [new, *found]
    return tuple(found)


def _grid(least: int, most: int) -> Iterator[int]:
    size = least
    while size < most:
        yield size
        size = size + max(1, size // 8)


class Names:
    """Short names for what recurs in the formulas of a spec: `S16` for floor(S/16), `T_image` for the tokens of a node."""

    def __init__(self, price: SymbolicProfile) -> None:
        self.price = price
        self.atoms: dict[str, str] = {}  # short, by atom
        self.tokens: dict[str, Polynomial] = {}  # in short names, by name
        taken = {size.name for size in price.symbols}
        for dim in (*price.base.tokens.values(), *price.base.figures.values()):
            for atom in _atoms(dim):
                if atom not in self.atoms and (short := _short(atom)) and short not in taken:
                    self.atoms[atom] = short
                    taken.add(short)
        kinds = {node: self.short(dim) for node, dim in price.base.tokens.items()}
        for node, dim in kinds.items():
            if isinstance(dim, Polynomial) and str(dim) not in taken:
                name = "T" if len(kinds) == 1 else f"T_{node}"
                self.tokens[name] = dim

    def definitions(self) -> dict[str, str]:
        """What each short name stands for."""
        found = {short: self.definition(atom) for atom, short in self.atoms.items()}
        return found | {name: str(dim) for name, dim in self.tokens.items()}

    def definition(self, atom: str) -> str:
        """S/16 where the formulas hold for such sizes only, else floor(S/16)."""
        if isinstance(atom, Quotient) and str(atom).startswith("floor("):
            for asked in self.price.base.conditions[""]:
                if asked.relation == "==" and asked.division is not None and quotient(*asked.division) == symbol(atom):
                    return str(atom)[len("floor(") : -1]
            names = symbols(symbol(atom))
            if len(names) == 1 and isinstance(atom.by, int) and str(atom.dim) in names:
                step, rest = spacing(self.price, str(atom.dim))
                if rest % atom.by == step % atom.by == 0:
                    return str(atom)[len("floor(") : -1]
        return str(atom)

    def whole(self, dim: Dim) -> Dim:
        """With D for 12*floor(D/12), where D mod 12 = 0 and nothing else is left of the quotient."""
        for atom in self.atoms:
            if not isinstance(atom, Quotient) or not isinstance(atom.by, int) or self.definition(atom) == str(atom):
                continue
            powers = {m: dict(m).get(atom, 0) for m in dim.terms} if isinstance(dim, Polynomial) else {}
            if isinstance(dim, int) or any(dim.terms[m] % atom.by**power for m, power in powers.items()):
                continue
            dim = sum((_replaced(m, dim.terms[m], atom, powers[m]) for m in powers), start=0)
        return dim

    def short(self, dim: Dim) -> Dim:
        return put(dim, {atom: symbol(name) for atom, name in self.atoms.items()})

    def values(self) -> dict[str, int]:
        """Of each short name at the spec's sizes."""
        sizes = {short: value_of(symbol(atom), self.price.sizes) for atom, short in self.atoms.items()}
        return sizes | {name: value_of(dim, {**self.price.sizes, **sizes}) for name, dim in self.tokens.items()}

    def text(self, dim: Dim) -> str:
        """A formula in short names, common factors first."""
        return factored(min(map(self.in_tokens, (self.whole(dim), dim)), key=_length))

    def in_tokens(self, dim: Dim) -> Dim:
        found = self.short(dim)
        for name, tokens in sorted(self.tokens.items(), key=lambda item: -len(item[1].terms)):
            found = min([found, *(_in_terms_of(found, name, tokens, lead) for lead in tokens.terms)], key=_length)
        return found


def factored(dim: Dim) -> str:
    """6*B*N^2 + 12*B*N -> "6*B*N*(N + 2)"; thousands have a comma."""
    if isinstance(dim, int):
        return f"{dim:,}"
    common = dict(next(iter(dim.terms)))
    for monomial in dim.terms:
        powers = dict(monomial)
        common = {name: min(power, powers.get(name, 0)) for name, power in common.items() if name in powers}
    number = math.gcd(*dim.terms.values()) if len(dim.terms) > 1 else 1
    number = number if number >= min(map(abs, dim.terms.values())) or number > 999 else 1
    inner: dict[Monomial, int] = {}
    for monomial, coefficient in dim.terms.items():
        left = ((name, power - common.get(name, 0)) for name, power in monomial)
        inner[tuple((name, power) for name, power in left if power)] = coefficient // number
    front = _with_commas(Polynomial({tuple(sorted(common.items())): number})) if common or number > 1 else ""
    if len(inner) == 1:
        return _with_commas(dim)
    text = _with_commas(Polynomial(inner))
    return f"{front}*({text})" if front else text


def _with_commas(dim: Polynomial) -> str:
    words = []
    for word in str(dim).split(" "):
        number, star, rest = word.partition("*")
        words.append(f"{int(number):,}{star}{rest}" if number.lstrip("-").isdecimal() else word)
    return " ".join(words)


def _replaced(monomial: Monomial, coefficient: int, atom: Quotient, power: int) -> Dim:
    """A term, with what an atom is the quotient of, over its divisor, in the place of the atom."""
    assert isinstance(atom.by, int)
    term: Dim = simplest({tuple((name, p) for name, p in monomial if name != atom): coefficient // atom.by**power})
    for _ in range(power):
        term = term * atom.dim
    return term


def _in_terms_of(dim: Dim, name: str, tokens: Polynomial, lead: Monomial) -> Dim:
    """With the monomial `lead` of `tokens` replaced by what it is of them."""
    if not isinstance(dim, Polynomial) or not lead or tokens.terms[lead] != 1:
        return dim
    instead: Dim = symbol(name) - (tokens - Polynomial({lead: 1}))
    total: Dim = 0
    for monomial, coefficient in dim.terms.items():
        powers = dict(monomial)
        times = min(powers.get(factor, 0) // power for factor, power in lead)
        rest = tuple(
            (factor, left) for factor, power in monomial if (left := power - times * dict(lead).get(factor, 0))
        )
        term: Dim = simplest({rest: coefficient})
        for _ in range(times):
            term = term * instead
        total = total + term
    return total


def _length(dim: Dim) -> tuple[int, int]:
    """How hard it is to read: its terms, those that are taken away twice."""
    if isinstance(dim, int):
        return 0, 0
    taken_away = sum(coefficient < 0 for coefficient in dim.terms.values())
    return len(dim.terms) + taken_away, sum(power for monomial in dim.terms for _, power in monomial)


def symbols_and_atoms(dim: Dim) -> set[str]:
    return set() if isinstance(dim, int) else {name for monomial in dim.terms for name, _ in monomial}


def _atoms(dim: Dim) -> list[Atom]:
    return sorted(name for name in symbols_and_atoms(dim) if isinstance(name, Atom))


def _short(atom: Atom) -> str:
    """S16 for floor(S/16) and for ceil(S/16), S_P for floor(S/P); "" for what is no size over another."""
    if (
        isinstance(atom, Quotient)
        and len(names := symbols(atom.dim)) == 1
        and growth(atom.dim, name := next(iter(names))) == 1
    ):
        if isinstance(atom.by, int):
            return f"{name}{atom.by}" if len(atom.dim.terms) <= 2 else ""
        return f"{name}_{atom.by}" if str(atom.by).isidentifier() and str(atom.dim) == name else ""
    return ""
