"""Tensors without numbers: a shape, strides, a type, and a storage that is held as long as somebody refers to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar
from weakref import ref

from mmspec.cost.rehearsal.dtypes import Dtype
from mmspec.cost.rehearsal.state import STATE, NoRule, Place

Shape = tuple[int, ...]
CPU = SimpleNamespace(type="cpu", index=None)


class Storage:
    """Bytes that are held until nobody refers to them."""

    __slots__ = ("meter", "number", "size")

    def __init__(self, size: int) -> None:
        meter = STATE.meter
        assert meter is not None, "a tensor outside a rehearsal"
        self.size, self.meter = size, meter
        self.number = meter.take(size, STATE.place)

    def __del__(self) -> None:
        self.meter.give(self.number, self.size)


class Node:
    """How gradients go back through one operation. `saved` are the tensors that it keeps until then.

    run(gradients of outputs, which inputs need one, *saved) -> gradients of inputs
    """

    __slots__ = ("edges", "needs", "of", "place", "run", "saved", "several", "time", "width")

    def __init__(self, inputs: Sequence[Tensor | None], run: Callable[..., Any], saved: Any, outputs: Any) -> None:
        STATE.clock += 1
        self.needs = [x is not None and x.requires_grad for x in inputs]
        self.of = [(x.shape, x.dtype) if x is not None and x.requires_grad else None for x in inputs]
        self.edges = [_edge(x) if x is not None and x.requires_grad else None for x in inputs]
        self.run, self.saved, self.several = run, saved, isinstance(outputs, tuple)
        self.width = len(outputs) if self.several else 1
        self.time, self.place = STATE.clock, STATE.place


class Accumulator:
    """Where the gradients of a leaf end. It holds the leaf, which a tensor of the graph need not."""

    __slots__ = ("__weakref__", "leaf", "place", "time")
    width = 1
    edges = ()

    def __init__(self, leaf: Tensor) -> None:
        self.leaf = leaf
        self.time = math.inf
        self.place = STATE.place


def _edge(x: Tensor) -> tuple[Any, int]:
    if x.node is not None:
        return x.node, x.output
    known = x.accumulator() if x.accumulator is not None else None
    if known is None:
        known = Accumulator(x)
        x.accumulator = ref(known)  # the graph holds the leaf, and not the other way round
    return known, 0


class Tensor:
    """What torch's tensor says of itself, and the functions of torch as methods (`methods` puts them here)."""

    __slots__ = (
        "accumulator",
        "counted",
        "dtype",
        "grad",
        "home",
        "node",
        "output",
        "requires_grad",
        "shape",
        "storage",
        "strides",
        "view_of",
    )
    device = CPU

    def __init__(self, shape: Shape, dtype: Dtype, storage: Storage, strides: Shape, view_of: bool = False) -> None:
        self.shape, self.dtype, self.storage, self.strides, self.view_of = shape, dtype, storage, strides, view_of
        self.requires_grad = False
        self.node: Node | None = None
        self.output = 0
        self.accumulator: ref[Accumulator] | None = None
        self.grad: Tensor | None = None
        self.counted: int | None = None  # of counts: what they sum to
        self.home: Place | None = None  # of a parameter: whose it is

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def is_meta(self) -> bool:
        return False

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.bytes

    def dim(self) -> int:
        return len(self.shape)

    def size(self, axis: int | None = None) -> Any:
        return self.shape if axis is None else self.shape[axis]

    def numel(self) -> int:
        return math.prod(self.shape)

    def element_size(self) -> int:
        return self.dtype.bytes

    def is_floating_point(self) -> bool:
        return self.dtype.floating

    def is_contiguous(self, **_: Any) -> bool:
        return contiguous(self.shape, self.strides)

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        return True  # where a model looks at numbers it is to find its inputs in order

    def __iter__(self) -> Iterator[Any]:
        return (self.__getitem__(index) for index in range(self.shape[0]))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NoRule(f"Tensor.{name}")

    def __hash__(self) -> int:
        return id(self)


def contiguous(shape: Shape, strides: Shape) -> bool:
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def dense(tensor: Tensor) -> bool:
    """Whether its elements lie side by side in some order, each once."""
    places = sorted((stride, size) for size, stride in zip(tensor.shape, tensor.strides, strict=True) if size != 1)
    expected = 1
    for stride, size in places:
        if stride != expected:
            return False
        expected *= size
    return True


def row_major(shape: Shape) -> Shape:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def strides_like(shape: Shape, tensor: Tensor) -> Shape:
    """Strides of a new tensor whose axes lie in memory in the order of another's of the same shape."""
    if contiguous(shape, tensor.strides) or 0 in tensor.strides:
        return row_major(shape)
    order = sorted(range(len(shape)), key=lambda axis: (-tensor.strides[axis], axis))
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


def new(shape: Sequence[int], dtype: Dtype, like: Tensor | None = None) -> Tensor:
    """Fresh memory; axes lie as those of `like`, where it has the same shape."""
    shape = tuple(shape)
    strides = strides_like(shape, like) if like is not None and like.shape == shape else row_major(shape)
    return Tensor(shape, dtype, Storage(math.prod(shape) * dtype.bytes), strides)


def view(x: Tensor, shape: Sequence[int], strides: Sequence[int]) -> Tensor:
    """The same memory, seen otherwise."""
    return Tensor(tuple(shape), x.dtype, x.storage, tuple(strides), True)


Made = TypeVar("Made", bound="Tensor | tuple[Tensor, ...]")


def recorded(
    outputs: Made, inputs: Sequence[Tensor | None], run: Callable[..., Any], saved: Sequence[Tensor | None] = ()
) -> Made:
    """Remember how gradients go back from the outputs, if they have to."""
    if STATE.gradients and any(x is not None and x.requires_grad for x in inputs):
        if STATE.saving is not None and any(x is not None for x in saved):
            kept = STATE.saving.keep(saved)
        else:
            kept = tuple(saved)
        node = Node(inputs, run, kept, outputs)
        for index, output in enumerate(outputs if node.several else (outputs,)):
            if output.dtype.floating:
                output.node, output.output, output.requires_grad = node, index, True
    return outputs
