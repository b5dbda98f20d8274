"""Weights of a checkpoint into a module: complete, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from mmspec.errors import UserError
from mmspec.ir import parameters
from mmspec.passes import lower
from mmspec.spec import ModelSpec
from mmspec.weights import complaint
from mmspec.weights.binding import bind
from mmspec.weights.checkpoint import Checkpoint, open_checkpoint
from mmspec.weights.layout import OURS, Layout, layouts
from mmspec.weights.names import Names
from mmspec.weights.ours import same_names
from mmspec.weights.plan import Ours, Plan, Shape, plan


@dataclass(frozen=True)
class Loaded:
    """What was loaded: how many tensors of ours, from where and by which layout, and what a person should know of it."""

    file: str
    layout: str
    tensors: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return f"loaded {self.tensors:,} tensors from {self.file}, by the layout {self.layout}"


def load_weights(
    module: nn.Module,
    path: str | Path,
    layout: str = "transformers",
    spec: ModelSpec | None = None,
    *,
    node: str = "",
    nodes: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
    grid: Sequence[int] | None = None,
    pickled: bool = False,
) -> Loaded:
    """Load a checkpoint into a built model, whole or not at all.

    path     a safetensors file, the index of its shards, a folder with either, or `org/name` on the Hub
    layout   whose names it has: "transformers" (the family is found by them), "transformers/vit", "mmspec" (ours), or a layout
             file of your own
    spec     the model's; by default the one that `build` made it from
    node     load this node alone; what the checkpoint has for others is left out
    nodes    which nodes a layout's words mean where several would do: {"image": "left"}
    ignore   names of theirs to leave out: ["classifier.*"]
    grid     rows and columns of their table of positions, where that is no square
    pickled  read a pickled file too, with torch.load(weights_only=True)

    Raises   UserError: the file is torn, pickled or not there; every tensor that is missing, unused or of another shape.
    """
    spec = spec or getattr(module, "meta", {}).get("spec")
    if spec is None:
        raise UserError("whose weights are these? Give load_weights the spec that the module was built from: `spec=`")
    if node and node not in {each.name for each in spec.nodes}:
        raise UserError(f"{spec.name} has no node {node!r}; it has {', '.join(each.name for each in spec.nodes)}")
    checkpoint = open_checkpoint(path, pickled)
    state = module.state_dict()
    ours = _ours(spec, {name: tuple(tensor.shape) for name, tensor in state.items()}, node)
    if layout == OURS:
        made, chosen = same_names(checkpoint.shapes, ours, ignore, node), OURS
    else:

        def planned(layout: Layout) -> Plan:
            return plan(layout, bind(layout, spec, nodes or {}, node), checkpoint.shapes, ours, ignore, node, grid)

        found = _recognised(layout, checkpoint, planned)
        made, chosen = planned(found), found.name
    if made.missing or made.unused or made.misfits:
        raise UserError(complaint.text(made, checkpoint, ours, chosen, spec.name, node, _other(chosen, checkpoint)))
    return Loaded(checkpoint.name, chosen, len(ours), _filled(made, checkpoint, state))


def _ours(spec: ModelSpec, shapes: Mapping[str, Shape], node: str) -> dict[str, Ours]:
    grids = {placed.path: placed.parameter.grid for placed in parameters(lower(spec))}
    return {
        name: Ours(shape, grids.get(name)) for name, shape in shapes.items() if not node or name.startswith(f"{node}.")
    }


def _recognised(said: str, checkpoint: Checkpoint, planned: Callable[[Layout], Plan]) -> Layout:
    """The layout that knows most of the names; of several, any of those that lead them all to the same places."""
    known = layouts(said)
    if len(known) == 1:
        return known[0]
    scores = {layout: Names(layout).covered(checkpoint.shapes) for layout in known}
    most = max(scores.values())
    best = [layout for layout, score in scores.items() if score == most]
    if most == 0:
        names = list(checkpoint.shapes)
        raise UserError(
            f"no layout of {said} knows a name in {checkpoint.name}, which has {len(names):,} tensors: {', '.join(names[:3])}, ..."
        )
    return best[0] if len(best) == 1 else _fitting(best, planned, checkpoint)


def _fitting(several: Sequence[Layout], planned: Callable[[Layout], Plan], checkpoint: Checkpoint) -> Layout:
    """Families share the names of what they have in common: any of those that load this model and lead all to the same places, or,
    where none does, the one that has the least to complain of."""
    plans: list[tuple[int, Layout, Plan]] = []
    refusal: UserError | None = None
    for layout in several:
        try:
            made = planned(layout)
        except UserError as error:  # it speaks of nodes that this spec has several of
            refusal = error
        else:
            plans.append((len(made.missing) + len(made.unused) + len(made.misfits), layout, made))
    if not plans:
        assert refusal is not None
        raise refusal
    least = min(problems for problems, _, _ in plans)
    fitting = [(layout, made) for problems, layout, made in plans if problems == least]
    if least == 0 and len({tuple((step.theirs, step.ours) for step in made.steps) for _, made in fitting}) > 1:
        names = ", ".join(layout.name for layout, _ in fitting)
        raise UserError(f"{checkpoint.name} may be any of {names}, which differ; say which as the layout")
    return fitting[0][0]


def _other(layout: str, checkpoint: Checkpoint) -> str:
    """Which layout was meant, perhaps, where ours was asked for."""
    if layout == OURS:
        for other in layouts("transformers"):
            if Names(other).covered(checkpoint.shapes) == len(checkpoint.shapes):
                return f"its names are those of {other.name}: say so with the layout `transformers`"
    return ""


def _filled(made: Plan, checkpoint: Checkpoint, state: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """Copy; first what could still go wrong."""
    for one, other in made.twins:
        if not torch.equal(checkpoint.read(one), checkpoint.read(other)):
            raise UserError(
                f"{checkpoint.name} has two tensors that the model ties into one, and they differ: {one} and {other}. "
                "Give the spec a head with weights of its own"
            )
    kinds: set[str] = set()
    for step in made.steps:
        given = [checkpoint.read(name) for name in step.theirs]
        for name, tensor in zip(step.ours, step.make(given), strict=True):
            if tensor.dtype != state[name].dtype:
                kinds.add(str(tensor.dtype).removeprefix("torch."))
            state[name].copy_(tensor)
    notes = [f"{name} {how}" for name, how in complaint.grouped(made.adapted)]
    notes += [f"{', '.join(sorted(kinds))} in the file is float32 in the model"] if kinds else []
    notes += [f"left out {complaint.names(theirs)}: {reason}" for reason, theirs in made.ignored.items()]
    return tuple(notes)
