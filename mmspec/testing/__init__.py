"""The contract that every component keeps, ours and a plug-in's, as one call for a test.

    from mmspec.testing import check_component

    def test_my_fusion_keeps_the_contract():
        check_component(MyFusion)

The component is put into a small spec with the neighbours that its role needs. What is checked:

- parameters of the graph and of the torch module: same names, same shapes
- shapes of every node's output, as torch computes them
- forward FLOPs equal torch's counter, in training, at inference and at every exit
- every parameter receives a gradient
- the stand-alone source computes the same bits
- every field of the schema changes something: the graph, its prices or its losses
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmspec.backend import build, build_objectives, source
from mmspec.backend.priced import costliest, forced, roomy
from mmspec.backend.runtime import DrawSay, Loop, Stages
from mmspec.components import CATALOGUE
from mmspec.cost import Sizes, profile
from mmspec.data.demand import shown_parts
from mmspec.data.masking import hidings
from mmspec.deploy.cases import planted
from mmspec.ir import Graph, parameters
from mmspec.ir.graph import operations
from mmspec.ir.placeholders import placeholders
from mmspec.passes import lower, lower_objectives
from mmspec.spec import Catalogue, Component, ModelSpec, SpecError, read
from mmspec.testing.neighbours import SMALL, Data, surround

DEAD_BIASES = ("key.bias",)  # a constant that softmax takes out again: its gradient is zero in exact arithmetic


def check_component(
    component: type[Component],
    fields: Mapping[str, Any] | None = None,
    alternatives: Mapping[str, Any] | None = None,
    needs: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Assert that a component keeps the contract.

    `fields` are what the component is written with (small sizes by default); `alternatives` gives, by field, another value
    where none can be guessed from its type; `needs`, by field, the other fields without which it says nothing.
    Raises AssertionError that says which promise is broken.
    """
    catalogue = CATALOGUE if component in CATALOGUE else Catalogue((*CATALOGUE, component))
    given = {key: value for key, value in SMALL.items() if key in set(component.keys())} | dict(fields or {})
    data = surround(component, given)
    spec = _read(data, catalogue)
    check_spec(spec)
    check_fields(component, given, alternatives or {}, catalogue, needs or {})


def check_spec(spec: ModelSpec, batch: int = 3, gradients: bool = True) -> None:
    """Assert that a spec's graph, its price, its module and its source agree, and that gradients reach every parameter."""
    graph = lower(spec)
    model = build(spec)
    randomise(model)
    check_parameters(graph, model)
    inputs = example(graph, batch)
    check_shapes(graph, model, inputs)
    check_flops(spec, graph, model, inputs)
    check_source(graph, model, inputs)
    if gradients and spec.objectives:
        check_gradients(spec, model, example(graph, 32))  # enough tokens that every expert meets some


def check_parameters(graph: Graph, model: nn.Module) -> None:
    expected = {placed.path: tuple(placed.parameter.shape) for placed in parameters(graph)}
    kept = {name: buffer for name, buffer in model.named_buffers() if name in model.state_dict()}  # running statistics
    found = {name: tuple(tensor.shape) for name, tensor in (*model.named_parameters(), *kept.items())}
    opaque = dict(operations(graph, "opaque"))
    for path, op in opaque.items():  # its parameters have names of its own
        inside = {name for name in found if name.startswith(f"{path}.")}
        numbers = sum(parameter.numel() for parameter in model.get_submodule(path).parameters())
        assert op.attributes["numbers"] in (None, numbers), (
            f"{path} has {numbers} parameters and declares another number"
        )
        found = {name: shape for name, shape in found.items() if name not in inside}
    assert found == expected, f"parameters differ: {set(found.items()) ^ set(expected.items())}"
    frozen = {p.path for p in parameters(graph) if not p.parameter.trainable and not p.parameter.buffer}
    frozen |= {
        f"{path}.{name}" for path, op in opaque.items() if not op.attributes["trained"]
        for name, _ in model.get_submodule(path).named_parameters()
    }  # fmt: skip
    assert frozen == {name for name, parameter in model.named_parameters() if not parameter.requires_grad}


def check_shapes(graph: Graph, model: nn.Module, inputs: Mapping[str, Tensor]) -> None:
    sizes = Sizes(bound_sizes(graph, inputs))
    seen: dict[str, list[tuple[int, ...]]] = {}  # of each module, call after call: those that are tied call one

    def remember(name: str) -> Any:
        def hook(module: nn.Module, arguments: Any, result: Any) -> None:
            seen.setdefault(name, []).append(tuple((result[0] if isinstance(result, tuple) else result).shape))

        return hook

    calls: dict[str, list[Any]] = {}
    for op in graph.ops:
        if op.kind == "call":
            calls.setdefault(op.attributes.get("shares", op.name), []).append(sizes(op.outputs[0]))
    hooks = [model.get_submodule(name).register_forward_hook(remember(name)) for name in calls]
    model.eval()
    with torch.no_grad():
        outputs = model(**inputs)
    for hook in hooks:
        hook.remove()
    for name, said in calls.items():
        assert seen[name] == said, f"{name} is {seen[name]}, the graph says {said}"
    for name, value in graph.outputs.items():
        if name not in graph.training:
            assert tuple(outputs[name].shape) == sizes(value), f"output {name} is {tuple(outputs[name].shape)}"


def check_flops(spec: ModelSpec, graph: Graph, model: nn.Module, inputs: Mapping[str, Tensor]) -> None:
    sizes = bound_sizes(graph, inputs)
    price = profile(spec, graph=graph, **_renamed(sizes))
    if price.lacks("flops"):
        return  # a total that nobody says cannot be wrong
    total = price["flops.total"]
    stacks = {name: module for name, module in model.named_modules() if isinstance(module, (Loop, Stages))}
    branches = {node.name: node.branches for node in price.nodes if node.branches}
    with forced(stacks, None, never=True), roomy(model), costliest(model, branches):
        for training in (True, False):
            counted = counted_flops(model.train(training), inputs)
            if training and any(isinstance(module, DrawSay) for module in model.modules()):
                assert counted >= total, "in training tokens are computed that inference leaves out"
                continue
            assert counted == total, f"training is {training}: {counted} FLOPs, priced {total}"
    halting = {node.name: node.exits for node in price.nodes if node.exits}
    for name, exits in halting.items():
        own = {path: stage for path, stage in stacks.items() if path.startswith(f"{name}.")}
        others = {path: stage for path, stage in stacks.items() if path not in own}
        for index, spent in enumerate(exits):
            with forced(others, None, never=True), forced(own, index), roomy(model):
                counted = counted_flops(model, inputs)
            expected = total - exits[-1] + spent
            assert counted == expected, f"{name}, exit {index}: {counted} FLOPs, priced {expected}"


def check_source(graph: Graph, model: nn.Module, inputs: Mapping[str, Tensor]) -> None:
    namespace: Data = {"__name__": "standalone"}
    exec(compile(source(graph), f"<source of {graph.name}>", "exec"), namespace)
    twin = namespace[graph.name]()
    twin.load_state_dict(model.state_dict())
    for training in (True, False):
        model.train(training), twin.train(training)
        torch.manual_seed(0)
        ours = model(**inputs)
        torch.manual_seed(0)
        theirs = twin(**inputs)
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert torch.equal(value, theirs[name]), f"the stand-alone source computes another {name}"


def check_gradients(spec: ModelSpec, model: nn.Module, inputs: Mapping[str, Tensor], draws: int = 20) -> None:
    """Every parameter receives a gradient, for some draw of the weights: a router may leave an expert without tokens."""
    objectives = build_objectives(spec)
    batch = next(iter(inputs.values())).shape[0]
    targets = example_targets(spec, inputs, batch)
    waiting = {name: p for name, p in model.named_parameters() if p.requires_grad and not name.endswith(DEAD_BIASES)}
    for seed in range(draws):
        randomise(model, seed=seed)
        model.train().zero_grad()
        objectives(model(**inputs), targets)["total"].backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is None or torch.isfinite(parameter.grad).all(), (
                f"the gradient of {name} is not finite"
            )
        waiting = {name: p for name, p in waiting.items() if p.grad is None or not p.grad.any()}
        if not waiting:
            return
    assert not waiting, f"no gradient reaches {', '.join(waiting)}"


def check_fields(
    component: type[Component],
    given: Mapping[str, Any],
    alternatives: Mapping[str, Any],
    catalogue: Catalogue,
    needs: Mapping[str, Mapping[str, Any]],
) -> None:
    plain = meaning(_read(surround(component, given), catalogue))
    for key in sorted(
        set(component.keys()) - {"type", "from", "text", "average_of", "tie", component.names_input}
    ):  # the last three say what is read
        if key == "frozen" and not trained(_read(surround(component, given), catalogue), component):
            continue
        value = alternatives[key] if key in alternatives else another(component, key, given, catalogue)
        others = {**given, **needs.get(key, {})}
        before = meaning_or_error(_read(surround(component, others), catalogue)) if key in needs else plain
        after = meaning(_read(surround(component, {**others, key: value}), catalogue))
        assert after != before, f"{key}: {value!r} changes nothing"


def trained(spec: ModelSpec, component: type[Component]) -> bool:
    """Whether the nodes of a component have parameters at all."""
    names = [node.name for node in spec.nodes if type(node.component) is component]
    return any(placed.path.partition(".")[0] in names for placed in parameters(lower(spec)))


def meaning(spec: ModelSpec) -> tuple[Any, ...]:
    """Everything that a spec says: its graph, its parameters, its losses, but not the words it was said in."""
    graph = lower(spec)
    said = structure(graph), structure(lower_objectives(spec)), dict(graph.limits), graph.outputs.keys()
    return *said, hidings(spec), shown_parts(spec)  # what a spec asks of the data beside columns


def meaning_or_error(spec: ModelSpec) -> tuple[Any, ...]:
    """What a spec says, or why it says nothing: some fields make possible what is an error without them."""
    try:
        return meaning(spec)
    except SpecError as error:
        return (str(error),)


def structure(graph: Graph) -> Any:
    operations = [
        (
            op.kind, op.name, [value.name for value in op.inputs], [value.shape for value in op.outputs], dict(op.attributes),
            op.parameters, [structure(body) for body in op.bodies],
        )
        for op in graph.ops
    ]  # fmt: skip
    return [value.name for value in graph.inputs], operations


def another(component: type[Component], key: str, given: Mapping[str, Any], catalogue: Catalogue) -> Any:
    """Another value of a field, guessed from its type."""
    name = next(name for name, field in component.model_fields.items() if (field.alias or name) == key)
    field = component.model_fields[name]
    current = given.get(key, field.get_default(call_default_factory=True))
    kinds = [_plain(kind) for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if get_origin(field.annotation) is Literal:
        return next(value for value in get_args(field.annotation) if value != current)
    if isinstance(current, bool):
        return not current
    if isinstance(current, int):
        return current * 2 if current else 1
    if isinstance(current, float):
        return 0.25 if current == 0 else current / 2
    if isinstance(current, Component):
        return next(kind for kind in catalogue.types(current.role) if kind not in (current.type, "none"))  # type: ignore[attr-defined]
    if key == "head":
        return "other"
    if current is None and get_origin(kinds[0]) is Literal:
        return get_args(kinds[0])[0]
    if current is None and kinds[0] in (int, float, bool):
        return {int: 24, float: 0.5, bool: False}[kinds[0]]
    raise AssertionError(f"say in `alternatives` what else {key} of {component.__name__} may be")


def _plain(kind: Any) -> Any:
    """int for Annotated[int, ...]"""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def example(graph: Graph, batch: int) -> dict[str, Tensor]:
    """Inputs for a whole model's graph: normal pixels, ids of texts that end at different places."""
    generator = torch.Generator().manual_seed(0)
    inputs: dict[str, Tensor] = {}
    for value in graph.inputs:
        sizes = [
            batch if str(dim) == "B" else dim if isinstance(dim, int) else graph.limits[str(dim)] for dim in value.shape
        ]
        if value.dtype == "f32":
            inputs[value.name] = torch.randn(sizes, generator=generator)
        elif value.dtype == "i64":
            if len(sizes) == 1:  # a category
                inputs[value.name] = torch.arange(batch) % value.bound
                continue
            ids = torch.randint(1, value.bound, sizes, generator=generator)
            lengths = 1 + (torch.arange(batch) * 2) % sizes[1]
            inputs[value.name] = ids * (torch.arange(sizes[1]) < lengths[:, None])
    return inputs | {place.input: planted(inputs[place.input], place, generator) for place in placeholders(graph)}


def example_targets(spec: ModelSpec, inputs: Mapping[str, Tensor], batch: int) -> dict[str, Tensor]:
    """Zeros and ones by turns for every column that the objectives want."""
    sizes = {"B": batch} | bound_sizes(lower(spec), inputs)
    targets: dict[str, Tensor] = {}
    for value in lower_objectives(spec).inputs:
        if value.name.endswith("_target"):
            shape = [dim if isinstance(dim, int) else sizes[str(dim)] for dim in value.shape]
            column = torch.arange(math.prod(shape)).view(shape) % 2
            targets[value.name.removesuffix("_target")] = column.float() if value.dtype == "f32" else column
    return targets


def bound_sizes(graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for value in graph.inputs:
        if value.name in inputs:
            sizes |= {
                str(dim): size
                for dim, size in zip(value.shape, inputs[value.name].shape, strict=True)
                if not isinstance(dim, int)
            }
    return sizes


def counted_flops(model: nn.Module, inputs: Mapping[str, Tensor]) -> int:
    """What torch's own counter says, with attention written out so that it sees its products."""
    fixed = {
        name: parameter.detach() for name, parameter in model.named_parameters()
    }  # the counter trips over expanded ones
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        functional_call(model, fixed, kwargs=dict(inputs))
    return int(counter.get_total_flops())


def randomise(model: nn.Module, scale: float = 0.3, seed: int = 0) -> None:
    """Draw every parameter anew: zero biases and norms of one hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=scale, generator=generator)


def _renamed(sizes: Mapping[str, int]) -> Data:
    return {"batch" if name == "B" else name: size for name, size in sizes.items()}


def _read(data: Data, catalogue: Catalogue) -> ModelSpec:
    return read(json.dumps(data), catalogue)
