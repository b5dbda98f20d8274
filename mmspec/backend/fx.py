"""A graph as torch modules: each scope a torch.fx GraphModule with a class name, our names for its values and modules."""

from __future__ import annotations

import copy
import inspect
import keyword
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import count
from types import SimpleNamespace
from typing import Any

import torch
from torch import fx, nn
from torch.fx.graph import PythonCode
from torch.fx.graph_module import _forward_from_src, _WrappedCall
from torch.fx.proxy import GraphAppendingTracer
from torch.utils.checkpoint import checkpoint

from mmspec.backend import runtime
from mmspec.ir import PRIMITIVES, Graph, Op, Value
from mmspec.ir.graph import copies
from mmspec.ir.primitives.control import container


class _Calls(fx.Tracer):
    """Unpickling traces a module's code again: our own functions stay calls, and what they decide is not decided then.
    Constants are looked up when the module runs, like parameters."""

    proxy_buffer_attributes = True

    def __init__(self) -> None:
        functions = [made for name in runtime.__all__ if inspect.isfunction(made := getattr(runtime, name))]
        super().__init__(autowrap_functions=tuple(functions))


class _Program:
    """The forward of a graph, in the place of the function: it is written and compiled when somebody asks for it, once for all
    modules that share the graph."""

    def __init__(self, graph: fx.Graph) -> None:
        self._graph = graph

    @cached_property
    def _written(self) -> PythonCode:
        return self._graph.python_code(root_module="self")

    @cached_property
    def _function(self) -> Any:
        return _forward_from_src(self._written.src, self._written.globals, {})

    def __get__(self, module: Any, kind: Any) -> Any:
        kind._code, kind._lineno_map = self._written.src, self._written._lineno_map
        kind._prologue_start = self._written._prologue_start
        kind.forward = self._function
        return kind.forward if module is None else module.forward

    def belongs_to(self, module: nn.Module) -> None:
        """What fx does to the class of a module when it compiles, but for the compiling."""
        kind: Any = type(module)
        kind.forward, kind._program = self, (self,)  # in a tuple: what has `__get__` would answer for itself
        kind._wrapped_call = _WrappedCall(kind, None)
        kind.__call__ = _called


def _called(module: Any, *args: Any, **kwargs: Any) -> Any:
    again = module.__dict__.get("recomputed") and module.training and torch.is_grad_enabled()
    if again and not torch.compiler.is_exporting():
        return checkpoint(module._wrapped_call, module, *args, use_reentrant=False, **kwargs)
    return module._wrapped_call(module, *args, **kwargs)


class ScopeModule(fx.GraphModule):
    """A GraphModule that is compiled when it is first run or looked into, whose copies, pickled or not, keep its class name, and
    which loads joined layers by their own names."""

    def __init__(self, root: nn.Module, graph: fx.Graph, class_name: str) -> None:
        super().__init__(root, graph, class_name)
        self.__dict__["_unseen"] = True

    def _load_from_state_dict(
        self, state: Any, prefix: str, metadata: Any, strict: bool, missing: Any, unexpected: Any, errors: Any
    ) -> None:
        for child in self.children():
            if isinstance(child, runtime.Projections):
                child.take(state, prefix, missing, errors)
        super()._load_from_state_dict(state, prefix, metadata, strict, missing, unexpected, errors)

    @property
    def graph(self) -> fx.Graph:
        """Its own from the moment that somebody asks: until then, copies of one block share theirs."""
        if self.__dict__.pop("_unseen", False):
            self._compile()  # what is done to the graph from now on has no effect before `recompile`, as in fx
            self._graph = copy.deepcopy(self._graph)
            self._graph.owning_module = self
        return self._graph

    @graph.setter
    def graph(self, graph: fx.Graph) -> None:
        if "_graph" in self.__dict__:
            fx.GraphModule.graph.fset(self, graph)  # type: ignore[attr-defined]
        else:
            self._graph = graph
            graph.owning_module = self
            _Program(graph).belongs_to(self)

    @property
    def code(self) -> str:
        self._compile()
        return str(self._code)

    def _compile(self) -> None:
        type(self).forward  # noqa: B018 - the function takes the program's place

    def __str__(self) -> str:
        self._compile()
        return super().__str__()

    def _recompile_submodules(self) -> list[Any]:
        return []  # they were compiled when they were made

    def __reduce__(self) -> tuple[Any, ...]:
        restore, (body, imports) = super().__reduce__()
        body = body | {"_code": self.code, "_graphmodule_cls_name": type(self).__name__, "_tracer_cls": _Calls}
        return _restored, (restore, body, imports)

    def _deepcopy_init(self) -> Any:
        def init(copy: ScopeModule, root: nn.Module, graph: fx.Graph) -> None:
            ScopeModule.__init__(copy, root, graph, class_name=type(self).__name__)
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
    for path in constants:
        owner, _, name = path.rpartition(".")
        module.get_submodule(owner)._non_persistent_buffers_set.add(name)


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
        if op.kind in ("repeat", "functions"):  # fx keeps the blocks of a list and forgets that it was one
            owner, name = _place(module, op.name)
            setattr(owner, name, root.get_submodule(op.name))
    return module


def _add_module(root: nn.Module, op: Op) -> None:
    if "shares" in op.attributes:
        return
    owner, name = _place(root, op.name)
    if op.kind == "constant":
        owner.register_buffer(name, torch.empty(0))  # filled in with the parameters
        return
    if op.kind in ("call", "define"):
        made: Any = graph_module(op.bodies[0])
    elif op.kind == "opaque":
        made = nn.Identity()  # whose place it takes when the weights are made
    elif op.kind in CONTAINERS:
        made = container(torch.nn, runtime, op, _copies(op))
    else:
        made = PRIMITIVES[op.kind].make(_MAKING, op)
    if made is not None:
        setattr(owner, name, made)


def _place(root: nn.Module, path: str) -> tuple[nn.Module, str]:
    """Whose a module is, and by which name: in a graph without scopes, "text.norm" is `norm` of a module that only holds others."""
    *scopes, name = path.split(".")
    for scope in scopes:
        if scope not in root._modules:
            root.add_module(scope, nn.Module())
        root = root.get_submodule(scope)
    return root, name


CONTAINERS = (
    "repeat",
    "stages",
    "loop",
    "experts",
    "functions",
)  # operations that are modules around copies of their bodies
_MAKING = SimpleNamespace(nn=torch.nn, empty=torch.empty, runtime=runtime)  # what modules and parameters are made with


def _copies(op: Op) -> list[nn.Module]:
    """A module for each copy of the operation's bodies; what has the same code is recorded and compiled once."""
    codes = {id(body): _code(body) for body in op.bodies}
    made: dict[Any, fx.GraphModule] = {}
    modules: list[nn.Module] = []
    for body in copies(op):
        first = made.get(codes[id(body)])
        if first is None:
            first = made[codes[id(body)]] = graph_module(body)
            modules.append(first)
        else:
            modules.append(_twin(first))
            _set_rates(modules[-1], body)
    return modules


def _code(graph: Graph) -> Any:
    """What the code and the layers of a graph's module follow from: all but how often dropout strikes."""
    places: dict[int, int] = {}

    def described(values: Iterable[Value]) -> str:
        for value in values:
            places[id(value)] = len(places)
        return " ".join(f"{value.name}{value.shape}{value.dtype}" for value in values)

    said: list[Any] = [graph.name, described(graph.inputs)]
    for op in graph.ops:
        read = tuple(places[id(value)] for value in op.inputs)
        attributes = {name: value for name, value in op.attributes.items() if name != "p"}
        bodies = tuple(map(_code, op.bodies))
        trained = tuple(parameter.trainable for parameter in op.parameters)
        said.append((op.kind, op.name, read, str(attributes), trained, bodies, described(op.outputs)))
    return (*said, tuple((name, places[id(value)]) for name, value in graph.outputs.items()))


def _set_rates(module: nn.Module, graph: Graph) -> None:
    for op in graph.ops:
        if "p" in op.attributes:
            module.get_submodule(op.name).p = op.attributes["p"]
        else:
            for index, body in enumerate(copies(op)):
                inner = module.get_submodule(op.name)
                _set_rates(inner if op.kind in ("call", "define") else inner.get_submodule(str(index)), body)


def _twin(module: nn.Module) -> nn.Module:
    """A module of the same code, with parameters and modules of its own."""
    if isinstance(module, ScopeModule):
        twin: nn.Module = ScopeModule.__new__(ScopeModule)  # of a class of its own, as fx's are
        type(twin).__name__ = type(module).__name__
        (program,) = vars(type(module))["_program"]
        program.belongs_to(twin)
    else:
        twin = type(module).__new__(type(module))
    twin.__dict__.update({name: copy.copy(v) if isinstance(v, (dict, set)) else v for name, v in vars(module).items()})
    twin._modules = {name: None if child is None else _twin(child) for name, child in module._modules.items()}
    twin._parameters = {name: _own(parameter) for name, parameter in module._parameters.items()}
    twin._buffers = {name: None if buffer is None else buffer.clone() for name, buffer in module._buffers.items()}
    return twin


def _own(parameter: nn.Parameter | None) -> nn.Parameter | None:
    if parameter is None or parameter.is_meta:  # no memory yet: each module is given its own with it
        return parameter
    return nn.Parameter(parameter.detach().clone(), parameter.requires_grad)


def _run(op: Op, inputs: list[fx.Proxy], space: _Recording, tracer: GraphAppendingTracer) -> Sequence[fx.Proxy]:
    if op.kind == "repeat":
        return _unrolled(op, inputs, tracer)
    if op.kind in ("parameter", "constant", "define", "functions"):
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
