"""The price of a spec as formulas in its sizes: batch, image side, text and audio length, and whatever else is asked for.

The spec is lowered and priced once with traced integers (`mmspec.ir.traced`): the program that gives the numbers gives the
formulas, with each integer division as it is. What was asked of sizes on the way are the conditions under which a formula
holds; where they do not hold there is another formula, which is traced when a size there is asked for. Imports no torch.

    price = symbolic(spec)
    price.formula("flops.total")                # 36864*B*floor(S/16)^4 + ...
    price.value("flops.total", B=8, S=384)      # an integer: what profile() says of the spec with these sizes
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmspec.cost.formulas import Formulas, Symbol, interval, numbers, traced
from mmspec.errors import Failure, UserError
from mmspec.ir import Dim, Graph, ShapeError, bind
from mmspec.ir.dims import put, value_of
from mmspec.ir.traced import Condition
from mmspec.passes import lower
from mmspec.spec import ModelSpec, SpecError

SIZED = {  # fields of inputs that are symbols unless asked otherwise
    ("image", "size"): ("S", "side of {} in pixels"),
    ("video", "size"): ("S", "side of {} in pixels"),
    ("video", "frames"): ("F", "frames of {}"),
    ("spectrogram", "frames"): ("F", "frames of {}"),
    ("waveform", "samples"): ("L", "samples of {}"),
}


@dataclass
class SymbolicProfile:
    """Formulas of a spec's figures. `base` are those at the spec's own sizes; `pieces` all that have been traced."""

    spec: ModelSpec
    symbols: tuple[Symbol, ...]
    base: Formulas
    notes: tuple[str, ...] = ()
    pieces: list[Formulas] = field(default_factory=list)

    @property
    def sizes(self) -> dict[str, int]:
        """The spec's own."""
        return {symbol.name: symbol.value for symbol in self.symbols}

    def __getitem__(self, name: str) -> Symbol:
        return next(symbol for symbol in self.symbols if symbol.name == name)

    def formula(self, figure: str, **sizes: int) -> Dim:
        """The formula that holds at these sizes, at the spec's own where none is given."""
        return self.piece(figure, **sizes).figures[figure]

    def value(self, figure: str, **sizes: int) -> int:
        """Raises SpecError: the spec is not valid at these sizes;  UserError: no such symbol, no such size."""
        return value_of(self.formula(figure, **sizes), self.complete(sizes))

    def piece(self, figure: str, **sizes: int) -> Formulas:
        """The formulas that hold at these sizes: known ones, or traced now."""
        at = self.complete(sizes)
        for piece in self.pieces:
            if piece.covers(figure, at):
                return piece
        self.pieces.append(traced(self.spec, self.symbols, at))
        return self.pieces[-1]

    def complete(self, sizes: Mapping[str, int]) -> dict[str, int]:
        known = {symbol.name: symbol for symbol in self.symbols}
        for name, size in sizes.items():
            if name not in known:
                raise UserError(f"no size is called {name!r}; there are {', '.join(known)}")
            if size < 1 or size > (known[name].most or size):
                raise UserError(f"{name} is from 1 to {known[name].most or 'any size'}, not {size}")
        return {**self.sizes, **sizes}

    def sympy(self, figure: str) -> Any:
        """A formula as an expression of sympy, its sizes positive integers.   Raises UserError: sympy is not installed"""
        try:
            import sympy  # type: ignore[import-untyped]
        except ImportError:
            raise UserError("expressions need sympy: pip install 'mmspec[symbolic]'") from None
        names = {name: sympy.Symbol(name, integer=True, positive=True) for name in self.sizes}
        return sympy.sympify(written(self.base.figures[figure]), locals=names)

    def range(self, figure: str, name: str, piece: Formulas | None = None, start: int = 0) -> tuple[int, int | None]:
        """From which to which size of one symbol a formula holds, where it does with the others as in the spec and as far as
        divisions go; None: as far as was looked. `start`: a size at which it does."""
        piece = piece or self.base
        others = {other: value for other, value in self.sizes.items() if other != name}
        others |= {other: piece.at[other] for other in piece.besides if other != name}
        given = [condition.given(others) for condition in piece.of(figure) if name in condition.symbols]
        start = start or piece.at[name]
        asked = [c.on_this_side({name: start}) for c in given if c is not None and c.division is None]
        return interval(asked, self.sizes, name, start, self[name].most)


def written(formula: Dim | Condition) -> str:
    """As Python and sympy write it: `**`, `floor`, `ceiling`, `Max`."""
    return str(formula).replace("^", "**").replace("ceil(", "ceiling(").replace("max(", "Max(")


def symbolic(spec: ModelSpec, batch: int = 1, further: Mapping[str, str] = {}, **lengths: int) -> SymbolicProfile:
    """Formulas of a spec's figures in the sizes of what comes in, and in `further` fields: {"encoders.image.patch_size": "P"}.

    Each formula is compared with the price of the spec at other sizes before it is given out; a size whose formulas would not
    hold stays a number, and a note says so.

    Raises   SpecError; UserError: a further field that is no whole number of the spec, or a name that is taken;  Failure: formulas
             in several sizes are not what the price says.
    """
    symbols: list[Symbol] = []
    notes: list[str] = []
    found = list(_symbols(spec, lower(spec), batch, further, lengths))
    for symbol in found:
        others = [other for other in found if not other.path]
        problem = _misfit(spec, [*others, symbol], [symbol]) if symbol.path else None
        if problem is None:
            symbols.append(symbol)
        else:
            notes.append(f"{symbol.path} stays {symbol.value}: {problem}")
    result = _at_own_sizes(spec, symbols, notes)
    for symbol in [symbol for symbol in symbols if symbol.path and _single(result, symbol)]:
        wider = _wider(result, symbol)
        if wider is not None:
            result.base = wider
            result.pieces.insert(0, wider)
        else:
            symbols.remove(symbol)
            equal = [str(c) for c in result.base.conditions[""] if c.relation == "==" and not c.division]
            why = (
                f"the spec asks for {' and '.join(equal)}"
                if equal
                else "no formula was found that holds at other sizes"
            )
            notes.append(f"{symbol.path} stays {symbol.value}: {why}")
            result = _at_own_sizes(spec, symbols, notes)
    if (problem := _misfit(spec, symbols, symbols)) is not None:
        raise Failure(f"the formulas of {spec.name} do not agree with its price: {problem}")
    return result


def _at_own_sizes(spec: ModelSpec, symbols: Sequence[Symbol], notes: Sequence[str]) -> SymbolicProfile:
    base = traced(spec, symbols, {symbol.name: symbol.value for symbol in symbols})
    return SymbolicProfile(spec, tuple(symbols), base, tuple(notes), [base])


def _single(price: SymbolicProfile, symbol: Symbol) -> bool:
    """Whether formulas hold at no other value of it."""
    least, most = price.range("flops.total", symbol.name)
    step, _ = spacing(price, symbol.name)
    return symbol.value - step < least and most is not None and most < symbol.value + step


def _wider(price: SymbolicProfile, symbol: Symbol) -> Formulas | None:
    """Formulas that were traced at a multiple of a size, and that are at the size itself what was found there."""
    besides = {**price.base.besides, symbol.name: symbol.value}
    for times in (2, 3, 4, 6, 8):
        try:
            found = traced(price.spec, price.symbols, {**price.base.at, symbol.name: times * symbol.value})
        except SpecError:
            continue
        same = all(put(dim, besides) == put(price.base.figures[name], besides) for name, dim in found.figures.items())
        wider = replace(found, besides=besides)
        if same and price.range("flops.total", symbol.name, wider) != (wider.at[symbol.name],) * 2:
            return wider
    return None


def spacing(price: SymbolicProfile, name: str, piece: Formulas | None = None) -> tuple[int, int]:
    """(k, r): sizes that are r above a multiple of k divide where the formulas ask for it, the other sizes as in the spec."""
    own = price[name].value
    others = {other: value for other, value in price.sizes.items() if other != name}
    step = 1
    for condition in (piece or price.base).conditions[""]:
        asked = condition.given(others) if name in condition.symbols else None
        if asked is None or asked.relation != "==" or (division := asked.division) is None:
            continue
        if isinstance(division[1], int):
            step *= next((n for n in range(1, 4097) if asked.holds({name: own + n * step})), 1)
    return step, own % step


def _symbols(
    spec: ModelSpec, graph: Graph, batch: int, further: Mapping[str, str], lengths: Mapping[str, int]
) -> Iterator[Symbol]:
    if batch < 1:
        raise UserError(f"a batch has at least one sample, not {batch}")
    yield Symbol("B", "samples in a batch", batch)
    letters = [
        (letter, name, said.format(name), attribute)
        for name, component in spec.inputs.items()
        for (kind, attribute), (letter, said) in SIZED.items()
        if component.type == kind and f"inputs.{name}.{attribute}" not in further  # type: ignore[attr-defined]
    ]
    for letter, name, said, attribute in letters:
        alone = sum(other == letter for other, *_ in letters) == 1
        path = f"inputs.{name}.{attribute}"
        yield Symbol(letter if alone else f"{letter}_{name}", said, getattr(spec.inputs[name], attribute), path)
    for name, most in graph.limits.items():
        reader = next((v.name for v in graph.inputs if name in map(str, v.shape)), "a text")
        yield Symbol(name, f"tokens of {reader}", lengths.get(name, most), most=most)
    taken = {"B", *graph.limits, *(letter for letter, *_ in letters)}
    for path, name in further.items():
        if name in taken or not name.isidentifier():
            raise UserError(f"{name!r} is no name for {path}: a letter or a word that no other size has")
        taken.add(name)
        yield Symbol(name, path, _number_at(spec, path), path)


def _number_at(spec: ModelSpec, path: str) -> int:
    section, _, rest = path.partition(".")
    name, *keys = rest.split(".")
    place: Any = getattr(spec, section, {})
    try:
        place = place[name]
        for key in keys:
            place = place[int(key)] if isinstance(place, tuple) else getattr(place, key)
    except (KeyError, AttributeError, IndexError, ValueError, TypeError):
        place = None
    if not isinstance(place, int) or isinstance(place, bool) or place < 1 or not keys:
        raise UserError(f"{path!r} is no whole number of {spec.name}: give a field such as encoders.image.patch_size=P")
    return place


def _misfit(spec: ModelSpec, symbols: Sequence[Symbol], moved: Sequence[Symbol]) -> str | None:
    """Why formulas in these symbols are not to be trusted, if so: they are held to the price of the spec at other sizes."""
    own = {symbol.name: symbol.value for symbol in symbols}
    try:
        base = traced(spec, symbols, own)
    except (TypeError, ValueError, AssertionError) as error:
        return f"it cannot be traced ({error})"
    for at in _other_sizes(base, own, moved):
        known = {name: f for name, f in base.figures.items() if base.covers(name, at)}
        if not known:
            continue
        try:
            found = numbers(spec, symbols, at)
        except (SpecError, ShapeError):
            return f"nothing says that {_said(at, moved)} is not possible"
        for name, dim in known.items():
            if bind(dim, at) != found[name]:
                return f"{name} at {_said(at, moved)} would be {bind(dim, at)} and is {found[name]}"
    return None


def _other_sizes(base: Formulas, own: Mapping[str, int], moved: Sequence[Symbol]) -> Iterator[dict[str, int]]:
    """Sizes beside the spec's own, some of them where what divides there does so too."""
    steps = {}
    for symbol in moved:
        sizes = [c.division for c in base.conditions[""] if c.relation == "==" and symbol.name in c.symbols]
        steps[symbol.name] = math.lcm(1, *(f[1] for f in sizes if f is not None and isinstance(f[1], int)))
    changes: tuple[Callable[[int, int], int], ...] = (
        lambda size, step: size + step,
        lambda size, step: 2 * size,
        lambda size, step: size - step,
        lambda size, step: size // 2,
        lambda size, step: size + 3 * step + 1,
    )
    for change in changes:
        at = dict(own)
        for symbol in moved:
            value = change(symbol.value, steps[symbol.name])
            at[symbol.name] = max(1, min(value, symbol.most or value))
        yield at


def _said(at: Mapping[str, int], moved: Sequence[Symbol]) -> str:
    return ", ".join(f"{symbol.name} = {at[symbol.name]}" for symbol in moved)
