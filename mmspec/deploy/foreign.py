"""Modules of somebody else, watched while torch traces them: one that turns a size into a number is named, at its place of the
spec.

Our own operations trace for every size, which their tests prove. What torch then objects to is some other module's, and its message
says neither whose nor where.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from mmspec.deploy.contract import Contract
from mmspec.deploy.places import place
from mmspec.errors import Failure
from mmspec.ir import Graph
from mmspec.ir.graph import operations
from mmspec.spec import ModelSpec, SpecError
from mmspec.spec.diagnostics import listing

ADVICE = "a module must compute with tensors and their sizes, and not with Python numbers or arrays made of them"
ONE_SIZE = f"{ADVICE}; or the target's shapes have that one size"


@dataclass
class Foreign:
    """Those of a model, by path: what they are imported from. `inside` one while it runs, `learned` of those during which torch
    learned something about a size: that it is a number, or what it must be."""

    spec: ModelSpec
    modules: dict[str, str]
    inside: list[str] = field(default_factory=list)
    learned: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, spec: ModelSpec, graph: Graph) -> Foreign:
        return cls(spec, {path: op.attributes["module"] for path, op in operations(graph, "opaque")})

    @contextmanager
    def watched(self, module: nn.Module) -> Iterator[None]:
        """Those in a module, while it is traced inside of the `with` statement."""
        self.inside, self.learned, handles = [], [], []
        for path, child in module.named_modules():
            if path in self.modules:
                before, after = self._hooks(path)
                handles += [child.register_forward_pre_hook(before), child.register_forward_hook(after)]
        try:
            with redirect_stderr(io.StringIO()) if handles else nullcontext():  # torch prints the graph where it fails
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _hooks(self, path: str) -> tuple[Any, Any]:
        known = ""

        def before(module: nn.Module, args: Any) -> None:
            nonlocal known
            self.inside.append(path)
            known = _known(args)

        def after(module: nn.Module, args: Any, answer: Any) -> None:
            self.inside.pop()
            if _known(args) != known:
                self.learned.append(path)

        return before, after

    def refusal(self, error: Exception, contract: Contract) -> Failure | SpecError:
        """What to say of an error of torch's: at the module's place of the spec, where it is one of theirs."""
        named = [name for name in contract.dims if re.search(rf"\b{re.escape(name)}\b", str(error))]
        ranges = listing([f"{name} from {contract.dims[name].low} to {contract.dims[name].high}" for name in named])
        cannot = "cannot be traced" + (f" for {ranges}, as the target allows" if named else "")
        at = (self.inside or self.learned or [""])[0]
        if not at:
            return Failure(f"the model {cannot}: {_reason(error)}")
        diagnostic = self.spec.diagnostic(place(at, self.spec), f"{at} ({self.modules[at]}) {cannot}")
        told = f"torch says: {_reason(error)}"
        return SpecError([replace(diagnostic, notes=(told, ONE_SIZE if named else ADVICE))])


def _known(args: Any) -> str:
    """What torch knows so far of the sizes of a traced module's inputs; "" of one that is not traced."""
    from torch._guards import detect_fake_mode

    mode = detect_fake_mode(args)
    shapes = getattr(mode, "shape_env", None)
    if shapes is None:
        return ""
    return str((shapes.replacements, shapes.var_to_range, len(shapes.guards), shapes.deferred_runtime_asserts))


def _reason(error: Exception) -> str:
    """The sentence of torch's message that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    listed = [line[2:] for line in lines if line.startswith("- ")]
    return re.split(r"\.(?: |$)| \(unhinted", (listed or lines)[0])[0]
