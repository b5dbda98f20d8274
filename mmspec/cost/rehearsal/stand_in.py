"""What stands for `torch` where lowering rules and the run-time functions ask for it, and the run-time functions themselves: their
own code, run with this torch in the place of the real one."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from mmspec.cost.rehearsal import indexing, layers, pointwise, products, reductions, views
from mmspec.cost.rehearsal.dtypes import BF16, BOOL, F32, F64, I32, I64, U8, Dtype
from mmspec.cost.rehearsal.modules import MODULES
from mmspec.cost.rehearsal.state import STATE, NoRule, set_for_a_while
from mmspec.cost.rehearsal.tensor import Tensor, new

BOTH: dict[str, Callable[..., Any]] = {  # functions that are methods too
    "abs": pointwise.abs_, "add": pointwise.add, "all": reductions.any_, "amax": reductions.extreme,
    "amin": reductions.extreme, "any": reductions.any_, "argmax": reductions.argmost, "argmin": reductions.argmost,
    "argsort": reductions.argsort, "bincount": indexing.bincount, "bmm": products.bmm, "chunk": views.chunk,
    "clamp": pointwise.clamp, "clone": views.clone, "cos": pointwise.cos, "cumsum": reductions.cumsum,
    "detach": views.detach, "div": pointwise.div, "eq": pointwise.compared, "exp": pointwise.exp,
    "flatten": views.flatten, "gather": indexing.gather, "ge": pointwise.compared, "gt": pointwise.compared,
    "index_add": indexing.index_add, "index_copy": indexing.index_copy, "index_select": indexing.index_select,
    "le": pointwise.compared, "log": pointwise.log, "log10": pointwise.log10, "logsumexp": reductions.logsumexp,
    "log_softmax": reductions.log_softmax, "lt": pointwise.compared, "masked_fill": pointwise.masked_fill,
    "matmul": products.matmul, "max": reductions.most, "maximum": pointwise.maximum, "mean": reductions.mean,
    "min": reductions.most, "minimum": pointwise.minimum, "mm": products.mm, "mul": pointwise.mul,
    "multinomial": indexing.multinomial, "ne": pointwise.compared, "neg": pointwise.neg, "nonzero": indexing.nonzero,
    "permute": views.permute, "pow": pointwise.pow_, "prod": reductions.prod, "relu": pointwise.relu,
    "repeat_interleave": indexing.repeat_interleave, "reshape": views.reshape, "roll": indexing.roll,
    "rsqrt": pointwise.rsqrt, "scatter": indexing.scatter, "sigmoid": pointwise.sigmoid, "sin": pointwise.sin,
    "softmax": reductions.softmax, "sort": reductions.sort, "split": views.split, "sqrt": pointwise.sqrt,
    "square": pointwise.square, "squeeze": views.squeeze, "sub": pointwise.sub, "sum": reductions.sum_,
    "tanh": pointwise.tanh, "topk": reductions.topk, "transpose": views.transpose, "tril": pointwise.tril,
    "unbind": views.unbind, "unsqueeze": views.unsqueeze, "var": reductions.var, "var_mean": reductions.var_mean,
    "where": pointwise.where, "t": views.t, "ones_like": indexing.zeros_like, "zeros_like": indexing.zeros_like,
    "rand_like": indexing.zeros_like, "randn_like": indexing.zeros_like, "empty_like": indexing.zeros_like,
    "full_like": indexing.zeros_like,
}  # fmt: skip


def numbers(x: Tensor) -> list[int]:
    """Counts of choices by expert, as `Experts` reads them: in training shares that are alike, which is what a router is
    trained to; at inference nearly all of a few, and one for each of the others, which is the most."""
    assert x.counted is not None, "numbers that nobody knows are read"
    count, total = x.shape[0] - 1, x.counted
    if STATE.met and not STATE.training:
        others = count - STATE.met
        rest = max(0, total - others)
        return [rest // STATE.met + (i < rest % STATE.met) for i in range(STATE.met)] + [1] * others + [0]
    return [total // count + (i < total % count) for i in range(count)] + [0]


METHODS: dict[str, Callable[..., Any]] = {
    **BOTH,
    "clamp_": pointwise.in_place, "contiguous": views.contiguous_, "copy_": pointwise.in_place,
    "double": pointwise.double, "expand": views.expand, "expand_as": views.expand_as,
    "exponential_": pointwise.in_place, "fill_": pointwise.in_place, "float": pointwise.float_,
    "lerp_": pointwise.in_place, "long": pointwise.long, "new_zeros": indexing.new_zeros,
    "new_ones": indexing.new_zeros, "repeat": indexing.repeat, "to": pointwise.to, "tolist": numbers, "unflatten": views.unflatten,
    "view": views.view, "view_as": views.view_as,
    "__add__": pointwise.add, "__radd__": pointwise.add, "__mul__": pointwise.mul, "__rmul__": pointwise.mul,
    "__sub__": pointwise.sub, "__rsub__": lambda x, other: pointwise.sub(other, x), "__truediv__": pointwise.div,
    "__rtruediv__": lambda x, other: pointwise.div(other, x), "__neg__": pointwise.neg, "__pow__": pointwise.pow_,
    "__rpow__": lambda x, base: pointwise.exp(x),
    "__floordiv__": pointwise.floordiv, "__mod__": pointwise.floordiv, "__matmul__": products.matmul,
    "__and__": pointwise.both, "__or__": pointwise.both, "__invert__": pointwise.inverted,
    "__eq__": pointwise.compared, "__ne__": pointwise.compared, "__lt__": pointwise.compared,
    "__le__": pointwise.compared, "__gt__": pointwise.compared, "__ge__": pointwise.compared,
    "__getitem__": views.get, "__setitem__": pointwise.in_place,
}  # fmt: skip

for name, method in METHODS.items():
    setattr(Tensor, name, method)


FUNCTIONAL = SimpleNamespace(
    linear=products.linear, embedding=indexing.embedding, pad=indexing.pad, gelu=pointwise.gelu, silu=pointwise.silu,
    elu=pointwise.elu, softplus=pointwise.softplus, normalize=reductions.normalize, one_hot=indexing.one_hot,
    cross_entropy=layers.cross_entropy, logsigmoid=reductions.logsigmoid, interpolate=layers.interpolate,
    gumbel_softmax=layers.gumbel_softmax, max_pool2d=layers.max_pool, layer_norm=layers.layer_norm,
    scaled_dot_product_attention=layers.scaled_dot_product_attention,
    conv1d=lambda x, weight, bias=None, stride=1, padding=0, groups=1: layers.convolution(
        x, weight, bias, stride, padding, groups
    ),
)  # fmt: skip


class _Names:
    """A module of torch's: what it lacks is nobody's rule, and said when it is called."""

    def __init__(self, name: str, known: dict[str, Any]) -> None:
        self._name = name
        self.__dict__.update(known)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _unknown(f"{self._name}.{name}")


def _unknown(name: str) -> Callable[..., Any]:
    def missing(*_: Any, **__: Any) -> Any:
        raise NoRule(name)

    return missing


def no_grad() -> AbstractContextManager[None]:
    return set_for_a_while(gradients=False)


def autocast(device: str, dtype: Any = BF16, enabled: bool = True, **_: Any) -> AbstractContextManager[None]:
    return set_for_a_while(autocast=dtype if enabled else None)


def meshgrid(*axes: Tensor, indexing: str = "ij") -> list[Tensor]:
    shape = [axis.shape[0] for axis in axes]
    return [views.expand(new((1,) * i + (n,) + (1,) * (len(shape) - i - 1), I64), shape) for i, n in enumerate(shape)]


class _Runtime:
    """The functions and modules of `mmspec.backend.runtime`, from their own source."""

    def __getattr__(self, name: str) -> Any:
        home = _homes().get(name)
        if home is None:
            raise NoRule(f"runtime.{name}")
        return getattr(_loaded(home), name)


@cache
def _homes() -> dict[str, str]:
    """In which file each name is written, as the folder's `__init__` says."""
    names: dict[str, str] = {}
    code = _code("__init__")

    def importing(name: str, *_: Any) -> Any:
        stated = _[2] or ()
        names.update(dict.fromkeys(stated, name.rpartition(".")[2]))
        return SimpleNamespace(**dict.fromkeys(stated))

    exec(code, {"__name__": "runtime", "__builtins__": {**vars(builtins), "__import__": importing}})
    return names


def _code(name: str) -> Any:
    path = Path(__file__).parents[2] / "backend" / "runtime" / f"{name}.py"
    full = f"mmspec.backend.runtime.{name}"
    return SourceFileLoader(full, str(path)).get_code(full)


@cache
def _loaded(name: str) -> ModuleType:
    module = ModuleType(f"rehearsal.{name}")
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
    exec(_code(name), vars(module))
    return module


def _import(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
    top, *rest = name.split(".")
    if top == "torch":
        module: Any = TORCH
        for part in rest if fromlist else ():
            module = getattr(module, part, None) if part in ("nn", "functional") else _Names(name, {})
        return module
    if name.startswith("mmspec.backend.runtime"):
        return _loaded(name.rpartition(".")[2])
    return builtins.__import__(name, globals, locals, fromlist, level)


TORCH = _Names(
    "torch",
    {
        **BOTH,
        "Tensor": Tensor, "nn": _Names("torch.nn", {**vars(MODULES), "functional": _Names("F", vars(FUNCTIONAL))}),
        "runtime": _Runtime(),
        "float32": F32, "float": F32, "float64": F64, "bfloat16": BF16, "int64": I64, "long": I64, "int32": I32,
        "uint8": U8, "bool": BOOL, "inf": math.inf, "pi": math.pi, "contiguous_format": "contiguous", "Size": tuple,
        "dtype": Dtype,
        "cat": indexing.cat, "stack": indexing.stack, "arange": indexing.arange, "zeros": indexing.zeros,
        "ones": indexing.zeros, "empty": lambda *shape, **k: indexing.zeros(*shape, dtype=STATE.weights, **k),
        "rand": indexing.zeros, "full": indexing.full, "eye": indexing.eye, "tensor": indexing.tensor,
        "linspace": indexing.linspace, "meshgrid": meshgrid, "no_grad": no_grad, "autocast": autocast,
        "finfo": lambda dtype: SimpleNamespace(min=-3.4e38, max=3.4e38, eps=1e-7, tiny=1e-38), "sym_max": max,
        "is_grad_enabled": lambda: STATE.gradients, "is_autocast_enabled": lambda *_: STATE.autocast is not None,
        "compiler": SimpleNamespace(is_exporting=lambda: False, is_compiling=lambda: True),
    },
)  # fmt: skip
