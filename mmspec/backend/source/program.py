"""All classes of a model, each once.

Scopes that differ in numbers only are instances of one class: the numbers that differ become its arguments, named after what
sets the scopes apart.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from textwrap import dedent
from types import CodeType, ModuleType

from mmspec.backend import runtime
from mmspec.backend.runtime import (
    above,
    best,
    block_choice,
    centred,
    deciding,
    drop_path,
    experts,
    keep,
    limited,
    loop,
    stages,
)
from mmspec.backend.source.expressions import Torch
from mmspec.backend.source.scopes import WIDTH, Line, Scope, Writer
from mmspec.cost.budgets import with_costs
from mmspec.ir import Graph

NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])")
RUNTIME_MODULES = {
    "Best": best,
    "BlockChoice": block_choice,
    "Centred": centred,
    "DrawSay": deciding,
    "DropPath": drop_path,
    "Experts": experts,
    "Keep": keep,
    "KeepAbove": above,
    "KeepAtInference": deciding,
    "Limited": limited,
    "Loop": loop,
    "SayAttention": deciding,
    "Stages": stages,
}


@dataclass
class Class:
    """A class of the stand-alone file, and what each scope that is one of its instances passes to it."""

    name: str
    scopes: list[Scope]
    parameters: dict[str, list[str]] = field(default_factory=dict)  # by name, the number in each scope

    def construct(self, scope: int) -> str:
        return f"{self.name}({', '.join(f'{name}={values[scope]}' for name, values in self.parameters.items())})"


def source(graph: Graph, header: str = "") -> str:
    """A Python file that imports torch only and defines the model of `graph`, class by class, the model last."""
    graph = with_costs(graph)
    torch = Torch()
    constructions: dict[int, str] = {}
    classes: list[Class] = []
    taken = {graph.name}
    for level in _levels(graph):
        groups: dict[tuple[str, ...], Class] = {}
        for parent, scope_graph in level:
            scope = Writer(scope_graph, torch, lambda body: constructions[id(body)]).write()
            key = (scope_graph.name, *_skeleton(scope))
            if key not in groups:
                name = graph.name if scope_graph is graph else _free_name(scope_graph, parent, taken, level)
                groups[key] = Class(name, [])
                taken.add(name)
            groups[key].scopes.append(scope)
        for group in groups.values():
            _find_parameters(group)
            for index, scope in enumerate(group.scopes):
                constructions[id(scope.graph)] = group.construct(index)
        classes += groups.values()
    parts = [_preamble(header, torch.used), *_runtime(torch.used), *(_class_text(each) for each in classes)]
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _levels(graph: Graph) -> Iterator[list[tuple[Graph, Graph]]]:
    """All scopes with their parents, those that hold none first; a graph that several hold comes once."""
    heights: dict[int, int] = {}
    found: list[tuple[Graph, Graph]] = []

    def visit(scope: Graph, parent: Graph) -> int:
        if id(scope) not in heights:
            inner = [visit(body, scope) for op in scope.ops for body in op.bodies]
            heights[id(scope)] = 1 + max(inner, default=0)
            found.append((parent, scope))
        return heights[id(scope)]

    visit(graph, graph)
    for height in range(1, heights[id(graph)] + 1):
        yield [(parent, scope) for parent, scope in found if heights[id(scope)] == height]


def _skeleton(scope: Scope) -> tuple[str, ...]:
    lines = [*(line.code for line in scope.made), scope.signature, *(line.code for line in scope.computed)]
    return tuple(NUMBER.sub("#", line) for line in lines)


def _free_name(graph: Graph, parent: Graph, taken: set[str], level: Sequence[tuple[Graph, Graph]]) -> str:
    name = graph.name
    if name in taken or (len({_owner(p) for p, g in level if g.name == name}) > 1 and name == "Block"):
        name = parent.name + name if not name.startswith(parent.name) else name
    number, base = 2, name
    while name in taken:
        name, number = f"{base}{number}", number + 1
    return name


def _owner(graph: Graph) -> str:
    return graph.name


def _find_parameters(group: Class) -> None:
    """Make parameters of the numbers in which the scopes differ, and write them into the scopes' lines."""
    if len(group.scopes) == 1:
        return
    columns = list(zip(*(_numbers(scope) for scope in group.scopes), strict=True))
    names: dict[tuple[str, ...], str] = {}
    for column in columns:
        if len(set(column)) > 1 and column not in names:
            names[column] = _parameter_name(column, group, set(names.values()))
    group.parameters = {name: list(column) for column, name in names.items()}
    if not names:
        return
    replacements = iter([names.get(column) for column in columns])
    first = group.scopes[0]
    used_in_forward: set[str] = set()

    def replace(line: str, prefix: str) -> str:
        def one(match: re.Match[str]) -> str:
            name = next(replacements)
            if name and prefix:
                used_in_forward.add(name)
            return match.group() if name is None else prefix + name

        return NUMBER.sub(one, line)

    for line in first.made:
        line.code = replace(line.code, "")
    first.signature = replace(first.signature, "self.")
    for line in first.computed:
        line.code = replace(line.code, "self.")
    first.made[:0] = [Line(f"self.{name} = {name}") for name in group.parameters if name in used_in_forward]
    for one, others in zip(first.computed, zip(*(s.computed for s in group.scopes[1:]), strict=True), strict=True):
        if any(other.comment != one.comment for other in others):
            one.comment = ""
    if any(scope.signature_comment != first.signature_comment for scope in group.scopes):
        first.signature_comment = ""


def _numbers(scope: Scope) -> list[str]:
    lines = [*(line.code for line in scope.made), scope.signature, *(line.code for line in scope.computed)]
    return [number for line in lines for number in NUMBER.findall(line)]


def _parameter_name(column: tuple[str, ...], group: Class, taken: set[str]) -> str:
    """The argument of the scopes that has just these values, else a name after the first line where they stand."""
    arguments = [scope.graph.arguments for scope in group.scopes]
    for name in arguments[0]:
        if name not in taken and tuple(str(said.get(name)) for said in arguments) == column:
            return name
    widths = tuple(str(scope.graph.inputs[0].shape[-1]) for scope in group.scopes)
    if widths == column and "width" not in taken:
        return "width"
    number = 1
    while f"size{number}" in taken:
        number += 1
    return f"size{number}"


def _class_text(group: Class) -> str:
    scope = group.scopes[0]
    lines = [f"class {group.name}(nn.Module):"]
    if len({each.graph.doc for each in group.scopes}) == 1 and scope.graph.doc:
        lines += [f'    """{_sentence(scope.graph.doc)}"""', ""]
    if scope.made:
        kinds = [
            f"{name}: {'float' if any(not v.isdigit() for v in values) else 'int'}"
            for name, values in group.parameters.items()
        ]
        lines += [f"    def __init__({', '.join(['self', *kinds])}) -> None:", "        super().__init__()"]
        lines += [f"        {line.code}" for line in scope.made] + [""]
    lines.append(f"    {_commented(scope.signature, scope.signature_comment)}")
    shown = scope.signature_comment
    for line in scope.computed:
        comment = line.comment if line.comment and line.comment != shown else ""
        shown = line.comment or shown
        lines.append(f"        {_commented(line.code, comment)}")
    return "\n".join(lines)


def _commented(code: str, comment: str) -> str:
    return f"{code}  # {comment}" if comment and len(code) + len(comment) < WIDTH + 12 else code


def _sentence(doc: str) -> str:
    return re.sub(r"\s+", " ", doc).replace("\\", "\\\\").replace('"""', "'''").strip()


def _preamble(header: str, used: set[str]) -> str:
    imports = ["import math"] if "distance_buckets" in used else []
    imports += ["from importlib import import_module"] if "opaque" in used else []
    abstract = {
        "Callable": {"Stages", "FloatLinear"},
        "Iterable": {"Stages", "Experts", "Loop"},
        "Sequence": {"Stages", "Loop"},
    }
    if names := [name for name, users in abstract.items() if users & used]:
        imports.append(f"from collections.abc import {', '.join(names)}")
    typing = {"Any": {"Stages", "FloatLinear", "Keep", "opaque"}, "NamedTuple": {"Stages"}}
    if names := [name for name, users in typing.items() if users & used]:
        imports.append(f"from typing import {', '.join(names)}")
    torch = ["import torch", "import torch.nn.functional as F", "from torch import Tensor, nn"]
    torch += ["from torch._higher_order_ops import while_loop"] if "Loop" in used else []
    return "\n".join([f'"""{header.strip()}\n"""', "", *imports, *([""] if imports else []), *torch])


def _runtime(used: Iterable[str]) -> Iterator[str]:
    """The source of the functions and modules of ours that the model calls."""
    names = sorted(_needed(used))
    for name in names:
        if name not in RUNTIME_MODULES:
            yield dedent(inspect.getsource(getattr(runtime, name)))
    for module in dict.fromkeys(RUNTIME_MODULES[name] for name in names if name in RUNTIME_MODULES):
        yield _without_imports(module)


def _needed(used: Iterable[str]) -> set[str]:
    """The names, and those that their functions call."""
    found: set[str] = set()
    left = list(used)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            made = getattr(runtime, name)
            codes = [code for each in (made, *vars(made).values()) if (code := getattr(each, "__code__", None))]
            left += [other for code in codes for other in _names(code) if other in runtime.__all__]
    return found


def _names(code: CodeType) -> Iterator[str]:
    """The names that a function reads, and those in its generators and nested functions."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _without_imports(module: ModuleType) -> str:
    text = inspect.getsource(module)
    text = text.split('"""', 2)[2]
    return "\n".join(line for line in text.splitlines() if not line.startswith(("import ", "from "))).strip("\n")
