"""A graph as torch modules: each scope a torch.fx GraphModule with a class name, our names for its values and modules."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from types import SimpleNamespace
from typing import Any

import torch
from torch import fx, nn
from torch.fx.proxy import GraphAppendingTracer

from mmspec.backend import runtime
from mmspec.ir import PRIMITIVES, Graph, Op
from mmspec.ir.graph import copies


class _Calls(fx.Tracer):
    """Unpickling traces a module's code again: our own functions stay calls, and what they decide is not decided then.
    Constants are looked up when the module runs, like parameters."""

    proxy_buffer_attributes = True

    def __init__(self) -> None:
        functions = [made for name in runtime.__all__ if inspect.isfunction(made := getattr(runtime, name))]
        super().__init__(autowrap_functions=tuple(functions))


class ScopeModule(fx.GraphModule):
    """A GraphModule whose copies, pickled or not, keep its class name, and which loads joined layers by their own names."""

    def _load_from_state_dict(
        self, state: Any, prefix: str, metadata: Any, strict: bool, missing: Any, unexpected: Any, errors: Any
    ) -> None:
        for child in self.children():
            if isinstance(child, runtime.Projections):
                child.take(state, prefix, missing, errors)
        super()._load_from_state_dict(state, prefix, metadata, strict, missing, unexpected, errors)

    def __reduce__(self) -> tuple[Any, ...]:
        restore, (body, imports) = super().__reduce__()
        body = body | {"_graphmodule_cls_name": type(self).__name__, "_tracer_cls": _Calls}
        return _restored, (restore, body, imports)

    def _deepcopy_init(self) -> Any:
        def init(copy: ScopeModule, root: nn.Module, graph: fx.Graph) -> None:
            fx.GraphModule.__init__(copy, root, graph, class_name=type(self).__name__)
            _forget(copy, self._non_persistent_buffers_set)

        return init


def _restored(restore: Callable[..., fx.GraphModule], body: dict[str, Any], imports: str) -> fx.GraphModule:
    plain = restore(body, imports)
    module = ScopeModule(plain, plain.graph, class_name=body["_graphmodule_cls_name"])
    for name, child in plain.named_children():  # the lists that fx keeps beside their blocks
        setattr(module, name, child)
    _forget(module, body["_non_persistent_buffers_set"])
    return module


def _forget(module: fx.GraphModule, constants: Iterable[str]) -> None:
    """Leave these buffers out of the state dict: fx, which copies them, registers all as lasting."""
    module._non_persistent_buffers_set |= set(constants)


def graph_module(graph: Graph) -> fx.GraphModule:
    """The module of a graph and, inside it, of its scopes. Parameters are made on the device of the context."""
    root = nn.Module()
    fxg = fx.Graph()
    tracer = GraphAppendingTracer(fxg)
    space = _Recording(torch, tracer)
    values: dict[int, Any] = {}
    taken: set[str] = set()
    for value in graph.inputs:
        name = _identifier(value.name)
        if name in taken:  # a stream of the user's that is called as one of the component's own values
            name = next(other for i in count(2) if (other := f"{name}{i}") not in taken)
        taken.add(name)
        optional = {"default_value": None} if value.optional and graph.whole else {}
        values[id(value)] = fx.Proxy(fxg.placeholder(name, **optional), tracer)
    for op in graph.ops:
        _add_module(root, op)
        inputs = [values[id(value)] for value in op.inputs]
        results = _run(op, inputs, space, tracer)
        for value, proxy in zip(op.outputs, results, strict=True):
            proxy.node._rename(_identifier(value.name))
            values[id(value)] = proxy
    outputs = [values[id(value)] for value in graph.outputs.values()]
    if graph.whole:
        root.outputs = runtime.Outputs(graph.outputs, graph.training)
        fxg.output(fxg.call_module("outputs", tuple(proxy.node for proxy in outputs)))
    else:
        nodes = tuple(proxy.node for proxy in outputs)
        fxg.output(nodes[0] if len(nodes) == 1 else nodes)
    module = ScopeModule(root, fxg, class_name=graph.name)
    _forget(module, (op.name for op in graph.ops if op.kind == "constant"))
    for op in graph.ops:
        if op.kind == "repeat":  # fx keeps the blocks of a list and forgets that it was one
            setattr(module, op.name, getattr(root, op.name))
    return module


def _add_module(root: nn.Module, op: Op) -> None:
    if op.kind == "constant":
        root.register_buffer(op.name, torch.empty(0))  # filled in with the parameters
        return
    if "shares" in op.attributes:
        return
    if op.kind in ("call", "define"):
        made: Any = graph_module(op.bodies[0])
    elif op.kind in ("repeat", "stages", "experts"):
        made = container(torch.nn, runtime, op, [graph_module(body) for body in copies(op)])
    else:
        made = PRIMITIVES[op.kind].make(_MAKING, op)
    if made is not None:
        setattr(root, op.name, made)


_MAKING = SimpleNamespace(nn=torch.nn, empty=torch.empty, runtime=runtime)  # what modules and parameters are made with


def container(nn: Any, runtime: Any, op: Op, copies: Any) -> Any:
    """The module around copies of a body; written once for modules and for source."""
    a = op.attributes
    unusual: dict[str, Any]
    if op.kind == "repeat":
        return nn.ModuleList(copies)
    if op.kind == "experts":
        unusual = {name: a[name] for name in ("normalise", "capacity") if name in a}
        return runtime.Experts(copies, k=a["k"], balance=a["balance"], **unusual)
    unusual = {}
    if a["carried"] != 1:
        unusual["carried"] = a["carried"]
    if a["head_inputs"] != (0,):
        unusual["head_inputs"] = a["head_inputs"]
    if a["balance"]:
        unusual["balance"] = True
    return runtime.Stages(copies, threshold=a["threshold"], **unusual)


def _run(op: Op, inputs: list[fx.Proxy], space: _Recording, tracer: GraphAppendingTracer) -> Sequence[fx.Proxy]:
    if op.kind == "repeat":
        return _unrolled(op, inputs, tracer)
    if op.kind in ("parameter", "constant", "define"):
        module: Any = tracer.create_proxy("get_attr", op.attributes.get("shares", op.name), (), {})
    else:

        def module(*args: Any, **kwargs: Any) -> fx.Proxy:
            return tracer.create_proxy("call_module", op.attributes.get("shares", op.name), args, kwargs)

    result = PRIMITIVES[op.kind].run(space, module, op, *inputs)
    return [result] if len(op.outputs) == 1 else _unpacked(result, len(op.outputs))


def _unrolled(op: Op, inputs: list[fx.Proxy], tracer: GraphAppendingTracer) -> Sequence[fx.Proxy]:
    carried = op.attributes["carried"]
    loss: Any = None
    tapped = []
    for index in range(len(op.attributes["order"])):
        after = tracer.create_proxy("call_module", f"{op.name}.{index}", tuple(inputs), {})
        results = carried + bool(op.attributes["balance"])
        parts = [after] if results == 1 else _unpacked(after, results)
        inputs[:carried] = parts[:carried]
        if op.attributes["balance"]:
            loss = parts[-1] if loss is None else loss + parts[-1]
        tapped += inputs[:carried] if index + 1 in op.attributes.get("taps", ()) else []
    return [*inputs[:carried], *tapped, *([loss] if loss is not None else [])]


def _unpacked(result: Any, count: int) -> list[fx.Proxy]:
    return [result[i] for i in range(count)]


class _Recording:
    """Looks like torch; what is called through it becomes a node of the graph instead of a value."""

    def __init__(self, target: Any, tracer: GraphAppendingTracer) -> None:
        self._target, self._tracer = target, tracer

    def __getattr__(self, name: str) -> Any:
        target = runtime if name == "runtime" else getattr(self._target, name)
        if isinstance(target, type(torch)):  # a namespace
            return _Recording(target, self._tracer)
        if not callable(target):  # a constant
            return target

        def call(*args: Any, **kwargs: Any) -> fx.Proxy:
            return self._tracer.create_proxy("call_function", target, args, kwargs)

        return call


def _identifier(name: str) -> str:
    name = name.replace(".", "_")
    return f"{name}_" if keyword.iskeyword(name) else name
