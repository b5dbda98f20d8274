"""Expressions that write themselves down: what stands for torch, for modules and for tensors when a lowering rule is asked
for source instead of nodes."""

from __future__ import annotations

from typing import Any

ATOM, PRODUCT, SUM = 3, 2, 1  # how tightly an expression holds together


class Expression:
    """Python source of a value. Attribute access, calls, indexing and arithmetic give longer expressions."""

    def __init__(self, text: str, strength: int = ATOM) -> None:
        self.text = text
        self.strength = strength

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("__"):
            raise AttributeError(name)
        return Expression(f"{self._at(ATOM)}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Expression:
        said = [written(arg) for arg in args] + [f"{key}={written(value)}" for key, value in kwargs.items()]
        return Expression(f"{self.text}({', '.join(said)})")

    def __getitem__(self, index: Any) -> Expression:
        said = ", ".join(map(_subscript, index)) if isinstance(index, tuple) else _subscript(index)
        return Expression(f"{self._at(ATOM)}[{said}]")

    def __add__(self, other: Any) -> Expression:
        return Expression(f"{self._at(SUM)} + {written(other, PRODUCT)}", SUM)  # a + (b + c) is not (a + b) + c

    def __sub__(self, other: Any) -> Expression:
        return Expression(f"{self._at(SUM)} - {written(other, PRODUCT)}", SUM)

    def __rsub__(self, other: Any) -> Expression:
        return Expression(f"{written(other)} - {self._at(PRODUCT)}", SUM)

    def __mul__(self, other: Any) -> Expression:
        return Expression(f"{self._at(PRODUCT)} * {written(other, ATOM)}", PRODUCT)

    def __matmul__(self, other: Any) -> Expression:
        return Expression(f"{self._at(PRODUCT)} @ {written(other, ATOM)}", PRODUCT)

    def _at(self, strength: int) -> str:
        return self.text if self.strength >= strength else f"({self.text})"


class Torch(Expression):
    """The names under which a stand-alone file has torch's and our own functions; remembers which of ours were used."""

    def __init__(self) -> None:
        super().__init__("torch")
        self.used: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name == "nn":
            return Modules()
        if name == "runtime":
            return Runtime(self.used)
        return super().__getattr__(name)


class Modules(Expression):
    def __init__(self) -> None:
        super().__init__("nn")

    def __getattr__(self, name: str) -> Expression:
        return Expression("F") if name == "functional" else super().__getattr__(name)


class Runtime:
    def __init__(self, used: set[str]) -> None:
        self._used = used

    def __getattr__(self, name: str) -> Expression:
        self._used.add(name)
        return Expression(name)


def written(value: Any, strength: int = 0) -> str:
    if isinstance(value, Expression):
        return value._at(strength)
    if isinstance(value, (tuple, list)):
        inner = ", ".join(map(written, value))
        if isinstance(value, list):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)


def _subscript(index: Any) -> str:
    if index is Ellipsis:
        return "..."
    if isinstance(index, slice):
        start, stop = ("" if end is None else written(end) for end in (index.start, index.stop))
        return f"{start}:{' ' if stop and not start else ''}{stop}"
    return written(index)
