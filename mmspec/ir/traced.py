"""Integers that remember how they came about: the same program gives a number and the formula of that number.

Whatever computes with sizes runs unchanged: a traced integer is an integer, and has its value. Beside it stands the polynomial
that the value is of, and a comparison, which is decided by the value, is noted as a condition under which the formula holds, as
torch does it for the sizes of `torch.export`. Nothing that is not traced pays for it.

    side = trace.symbol("S", 224)
    if side % 16: ...                   # False, and noted: S mod 16 = 0
    (side // 16) ** 2 + 1               # 197, which is floor(S/16)^2 + 1
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from mmspec.ir.dims import Atom, Dim, Polynomial, bind, put, symbol, symbols, value_of
from mmspec.ir.quotients import Quotient, quotient


@dataclass(frozen=True)
class Condition:
    """`dim` is zero, is not, or is no less than zero."""

    dim: Polynomial
    relation: Literal["==", "!=", ">="]

    def holds(self, sizes: Mapping[str, int]) -> bool:
        value = value_of(self.dim, sizes)
        return value >= 0 if self.relation == ">=" else (value == 0) == (self.relation == "==")

    @property
    def symbols(self) -> frozenset[str]:
        return symbols(self.dim)

    @property
    def division(self) -> tuple[Dim, Dim] | None:
        """(a, k) of a condition that a mod k is zero, or is not."""
        if self.relation == ">=":
            return None
        for monomial, coefficient in self.dim.terms.items():
            atoms = [name for name, power in monomial if isinstance(name, Quotient) and power == 1]
            for name in atoms:
                atom, sign = symbol(name), -1 if coefficient > 0 else 1
                by = abs(coefficient) if isinstance(name.by, int) else name.by
                inner = (self.dim + atom * by * sign) * sign
                if name not in str(inner) and atom in (quotient(inner, by), quotient(inner + by - 1, by)):
                    return inner, by
        return None

    def on_this_side(self, sizes: Mapping[str, int]) -> Condition:
        """The stricter condition that what is not zero here keeps its sign."""
        if self.relation != "!=" or self.division is not None:
            return self
        stricter = self.dim - 1 if value_of(self.dim, sizes) > 0 else self.dim * -1 - 1
        return Condition(stricter, ">=") if isinstance(stricter, Polynomial) else self

    def given(self, sizes: Mapping[str, int]) -> Condition | None:
        """With some sizes as numbers; None where it depends on no other and holds."""
        dim = bind(self.dim, sizes)
        if isinstance(dim, int):
            return None if Condition(self.dim, self.relation).holds(sizes) else self
        return Condition(dim, self.relation)

    def __str__(self) -> str:
        if (found := self.division) is not None:
            inner = f"({found[0]})" if len(str(found[0]).split()) > 1 else str(found[0])
            by = f"({found[1]})" if len(str(found[1]).split()) > 1 else str(found[1])
            return f"{inner} mod {by} {'=' if self.relation == '==' else '!='} 0"
        constant = self.dim.terms.get((), 0)
        left, right = self.dim - constant, -constant
        relation = {"==": "=", "!=": "!=", ">=": ">="}[self.relation]
        if isinstance(left, Polynomial) and all(c < 0 for c in left.terms.values()):
            left, right, relation = left * -1, -right, {">=": "<="}.get(relation, relation)
        return f"{left} {relation} {right}"


class Trace:
    """What was asked of traced integers, by the part of the program that asked."""

    def __init__(self) -> None:
        self.conditions: dict[str, dict[Condition, None]] = {"": {}}
        self.part = ""
        self.known: dict[str, Dim] = {}  # what atoms are of, since something divides without a rest

    def symbol(self, name: str, value: int) -> Traced:
        return Traced(value, symbol(name), self)

    def number(self, value: int, dim: Dim) -> int:
        dim = self.simplest(dim)
        return value if isinstance(dim, int) else Traced(value, dim, self)

    def simplest(self, dim: Dim) -> Dim:
        """With what is known of divisions: 7*floor(S/28) for floor(S/4), since floor(S/4) mod 7 = 0."""
        while True:
            simpler = put(dim, self.known)
            if simpler is dim:
                return dim
            dim = simpler

    @contextmanager
    def asking(self, part: str) -> Iterator[None]:
        """Whatever is asked inside is noted under that name."""
        before, self.part = self.part, part
        self.conditions.setdefault(part, {})
        try:
            yield
        finally:
            self.part = before

    def note(self, dim: Dim, relation: Literal["==", "!=", ">="]) -> None:
        dim = self.simplest(dim)
        if isinstance(dim, int) or _always(dim, relation):
            return
        condition = Condition(_shortest(dim, relation), relation)
        self.conditions[self.part].setdefault(condition)
        if relation == "==" and not self.part:
            self._learn(condition.division)

    def _learn(self, division: tuple[Dim, Dim] | None) -> None:
        """That something mod a number is zero."""
        if division is None or not isinstance(by := division[1], int):
            return
        inner = division[0]
        whole, up = quotient(inner, by), quotient(inner + (by - 1), by)
        if isinstance(inner, Polynomial) and len(inner.terms) == 1:
            (monomial, coefficient), *_ = inner.terms.items()
            if coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1 and isinstance(monomial[0][0], Atom):
                self.known[monomial[0][0]] = whole * by
        if isinstance(up, Polynomial) and up != whole and len(up.terms) == 1:
            (monomial, coefficient), *_ = up.terms.items()
            if coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1:
                self.known[monomial[0][0]] = whole


def _shortest(dim: Polynomial, relation: str) -> Polynomial:
    """Without factors that change nothing: sizes are no less than one."""
    first, *others = dim.terms
    common = {name: power for name, power in first if not isinstance(name, Atom)}
    for monomial in others:
        powers = dict(monomial)
        common = {name: min(power, powers[name]) for name, power in common.items() if name in powers}
    number = math.gcd(*(c for m, c in dim.terms.items() if m or relation != ">="))
    rest = dim.terms.get((), 0)
    if relation == ">=" and common:
        number = math.gcd(number, rest)
    terms = {
        tuple((name, left) for name, power in m if (left := power - common.get(name, 0))): c // number
        for m, c in dim.terms.items()
    }
    return Polynomial(terms)  # a constant above which something is no less than zero is rounded down


def _always(dim: Polynomial, relation: str) -> bool:
    """Whether it holds for whatever sizes from one on, as far as signs tell."""
    if relation == "==":
        return False
    for sign in (1, -1) if relation == "!=" else (1,):
        terms = {m: sign * c for m, c in dim.terms.items()}
        if all(c > 0 for m, c in terms.items() if m):
            least = sum(c for m, c in terms.items() if not any(isinstance(name, Atom) for name, _ in m))
            if least >= (relation == "!="):
                return True
    return False


class Traced(int):
    """An integer and its formula."""

    dim: Polynomial
    trace: Trace

    def __new__(cls, value: int, dim: Polynomial, trace: Trace) -> Traced:
        self = super().__new__(cls, value)
        self.dim, self.trace = dim, trace
        return self

    def __hash__(self) -> int:  # equal numbers of different formulas are not taken for one another in a table
        return hash(("traced", self.dim))

    def __copy__(self) -> Traced:
        return self

    def __deepcopy__(self, memo: Any) -> Traced:
        return self

    def __add__(self, other: Any) -> Any:
        return self._of(int.__add__, Polynomial.__add__, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._of(int.__sub__, Polynomial.__sub__, other)

    def __rsub__(self, other: Any) -> Any:
        return self._of(int.__rsub__, Polynomial.__rsub__, other)

    def __mul__(self, other: Any) -> Any:
        return self._of(int.__mul__, Polynomial.__mul__, other)

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        return self._of(int.__floordiv__, quotient, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._of(int.__rfloordiv__, lambda by, dim: quotient(dim, by), other)

    def __mod__(self, other: Any) -> Any:
        return self._of(int.__mod__, lambda dim, by: dim - quotient(dim, by) * by, other)

    def __rmod__(self, other: Any) -> Any:
        return self._of(int.__rmod__, lambda by, dim: dim - quotient(dim, by) * by, other)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __pow__(self, power: Any, modulo: Any = None) -> Any:
        if type(power) is not int or power < 0 or modulo is not None:
            return int.__pow__(self, power, modulo)
        result: Any = 1
        for _ in range(power):
            result = self * result
        return result

    def __neg__(self) -> Any:
        return self * -1

    def __pos__(self) -> Traced:
        return self

    def __abs__(self) -> Any:
        return self if self >= 0 else -self

    def __round__(self, digits: Any = None) -> Traced:
        return self

    __trunc__ = __floor__ = __ceil__ = __round__

    def __bool__(self) -> bool:
        return self != 0

    def __eq__(self, other: object) -> bool:
        return self._asked(int.__eq__, other, "==")

    def __ne__(self, other: object) -> bool:
        answer: Any = self.__eq__(other)
        return answer if answer is NotImplemented else not answer

    def __ge__(self, other: Any) -> bool:
        return self._asked(int.__ge__, other, ">=")

    def __gt__(self, other: Any) -> bool:
        return self._asked(int.__gt__, other, ">")

    def __le__(self, other: Any) -> bool:
        return self._asked(int.__le__, other, "<=")

    def __lt__(self, other: Any) -> bool:
        return self._asked(int.__lt__, other, "<")

    def __int__(self) -> int:
        return self._only()

    def __float__(self) -> float:
        return float(self._only())

    def __truediv__(self, other: Any) -> Any:
        return self._only() / other

    def __rtruediv__(self, other: Any) -> Any:
        return other / self._only()

    def _only(self) -> int:
        """The number, where no formula can follow: it is noted that all that comes of it is of this number only."""
        self.trace.note(self.dim - _plain(self), "==")
        return _plain(self)

    def _of(self, number: Any, formula: Any, other: Any) -> Any:
        if not isinstance(other, int):
            return NotImplemented if isinstance(other, Polynomial) else number(self._only(), other)
        value = number(_plain(self), _plain(other))
        return self.trace.number(value, formula(self.dim, other.dim if isinstance(other, Traced) else _plain(other)))

    def _asked(self, compare: Any, other: Any, relation: str) -> bool:
        if not isinstance(other, int):
            return compare(self._only(), other)  # type: ignore[no-any-return]
        answer: bool = compare(_plain(self), _plain(other))
        left: Dim = self.dim - (other.dim if isinstance(other, Traced) else _plain(other))
        if relation == "==":
            self.trace.note(left, "==" if answer else "!=")
        else:  # a > b is a - b - 1 >= 0, and its contrary b - a >= 0
            if relation in ("<", "<="):
                left = left * -1
            strict = relation in ("<", ">")
            self.trace.note(left - strict if answer else left * -1 - (not strict), ">=")
        return answer


def _plain(value: int) -> int:
    return int.__add__(value, 0)


def formula(value: int) -> Dim:
    """What a number is of: itself where it was not traced."""
    return value.dim if isinstance(value, Traced) else int(value)
