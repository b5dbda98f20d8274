"""Networks alike or different, each of which answers what is sent to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmspec.ir.dims import Dim, product
from mmspec.ir.graph import Value
from mmspec.ir.primitives import ShapeError, shape_text
from mmspec.ir.scope import Body, Scope


def experts(
    g: Scope,
    name: str,
    bodies: Sequence[Body],
    choice: Value,
    *values: Value,
    met: int,
    sent: Dim | None,
    room: Dim | None,
    placement: tuple[int, ...],
    class_names: Sequence[str],
    arguments: Mapping[str, Any] | None,
) -> Value:
    """See `Scope.experts`; `bodies` has one for each, the same one for those that are alike."""
    kinds = list(dict.fromkeys(bodies))
    lead, k = choice.shape[:-1], choice.width
    rows = product(lead) if len(kinds) > 1 else product(choice.shape) if sent is None else sent
    scopes, results = [], []
    for kind, class_name in zip(kinds, class_names or ("Expert",), strict=True):
        inner = Scope(class_name, g, path=f"{g.path}{name}.*.")
        handed = inner.receive_all(kind, values)
        for each in inner.inputs:
            if each.shape[: len(lead)] == lead:
                each.shape = (rows, *each.shape[len(lead) :])
        result = kind(inner, *handed)
        assert isinstance(result, Value) and not inner.exits
        if inner.balance:
            raise ShapeError("an expert cannot have experts itself", "router")
        scopes.append(inner)
        results.append(result)
    if any(result.shape != results[0].shape for result in results):
        shapes = ", ".join(shape_text(result.shape[1:]) for result in results)
        raise ShapeError(f"all must answer in one shape, and here they answer in {shapes}")
    used = [value for scope, result in zip(scopes, results, strict=True) for value in scope.read(result)]
    wanted = sorted(dict.fromkeys(used), key=lambda value: value.shape[: len(lead)] != lead)
    graphs = []
    for scope, result in zip(scopes, results, strict=True):
        scope.inputs = [scope.receive(value) for value in wanted]
        for each, outer in zip(scope.inputs, wanted, strict=True):
            each.shape = (rows, *outer.shape[len(lead) :]) if outer.shape[: len(lead)] == lead else outer.shape
        graphs.append(scope.close({"y": result}, "", arguments, keep=scope.inputs))
        scope.let_go()
    y = Value(name, (*lead, k, *results[0].shape[1:]), results[0].dtype, g)
    attributes: dict[str, Any] = {"count": len(bodies), "met": met or k, "order": tuple(map(kinds.index, bodies))}
    attributes["shared"] = sum(value.shape[: len(lead)] != lead for value in wanted)
    attributes |= {} if room is None else {"room": room}
    attributes |= {"placement": placement} if placement else {}
    g.append("experts", name, (choice, *wanted), (y,), attributes, bodies=tuple(graphs))
    return y
