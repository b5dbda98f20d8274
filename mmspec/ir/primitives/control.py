"""Operations that hold graphs of their own. Their outputs are decided by the scope that emits them; their torch form is a
module of the back end around the modules of their bodies."""

from __future__ import annotations

from typing import Any

from mmspec.ir.graph import Op
from mmspec.ir.primitives.base import PRIMITIVES, Primitive, primitive


class Control(Primitive):
    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class Call(Control):
    """One nested scope.   bodies: (scope,)"""

    kind = "call"


@primitive
class Define(Control):
    """A graph that is not run here but handed to others, as a value of dtype "function".   bodies: (scope,)"""

    kind = "define"

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module


@primitive
class Functions(Control):
    """Copies of one graph, each with weights of its own, that are not run here but handed to others as a list.
    bodies: (scope,)"""

    kind = "functions"

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module


@primitive
class Repeat(Control):
    """One block, `count` times, each copy with weights of its own.   bodies: (block,)

    The first `carried` inputs go from block to block, the others are the same for all. Outputs are the last block's carried
    values, what the blocks in `taps` (counted from one) carried on, and the balance loss.
    """

    kind = "repeat"


@primitive
class Stages(Control):
    """One block, up to `count` times, with exits after the blocks in `after` (counted from one; after each where None) and at the
    end.   bodies: (block,)

    A sample leaves at the first exit where its score, by the `criterion` (a class of `backend.runtime.criteria`, with its
    `arguments`), exceeds the `threshold`.

    Inputs are first those in `given`, by keyword: the head, a readout of what heads see, the earlier exits' own heads, a halting
    unit (functions), a budget f32[B]; then what the block takes and, after the first `taken`, what only exits look at. `seen` says
    which of these; the head reads the first `read` of what is seen; those in `whole` are the same for all samples. Where the
    readout is `returned`, its first output stands in the carried value's place on the way out.

    Outputs are the carried values at each sample's exit; the exit's number i64[B]; with a head its answer there and its answers at
    all exits f32[exits, B, ...], which exist in training only; with a halting unit the probability of each exit f32[exits, B], in
    training only; the balance loss.
    """

    kind = "stages"

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        given = op.attributes["given"]
        return module(*inputs[len(given) :], **dict(zip(given, inputs, strict=False)))


@primitive
class Loop(Control):
    """One block with one set of weights, up to `count` times, until each sample has halted: adaptive computation time, with its
    `epsilon` and the weight `ponder` of its cost (see `backend.runtime.Loop`).   bodies: (block,)

    Inputs are the state, then what else the block takes; the body returns the state, how likely each token (or, where not
    `by_token`, each sample) is to halt, and perhaps a balance loss. Outputs are the mean state, each sample's last step i64[B], and
    the cost with the balance losses, which is 0 outside training.
    """

    kind = "loop"


@primitive
class Experts(Control):
    """`count` networks, each of which computes what was sent to it; nothing is weighed here.   bodies: (expert,), or some kinds in
    an `order`

    Inputs are a choice i64[B, N, k] and tokens [B, N, D]; or i64[B, k] and values of whole samples, the last `shared` of them the
    same for all. The output is what was answered to each choice, [B, N, k, D] or [B, k, N, D], zeros where it is nobody.
    `met` says how many of them a token meets, `room` how many tokens of a sample each takes where not all. The shapes in the only
    body are those of all that is sent to all experts together; of several bodies, those of everything sent to each.
    """

    kind = "experts"

    def is_tokenwise(self, op: Op) -> bool:
        """Where each token has choices of its own: who finds room was decided before."""
        return len(op.inputs[0].shape) == 3 and all(
            PRIMITIVES[inner.kind].is_tokenwise(inner) for body in op.bodies for inner in body.ops
        )


def container(nn: Any, runtime: Any, op: Op, copies: Any) -> Any:
    """The module around copies of a body; written once for modules and for source."""
    a = op.attributes
    unusual: dict[str, Any]
    if op.kind in ("repeat", "functions"):
        return nn.ModuleList(copies)
    if op.kind == "experts":
        unusual = {"shared": a["shared"]} if a["shared"] else {}
        unusual |= {"nobody": True} if "room" in a else {}
        unusual |= {"placement": a["placement"]} if a.get("placement") else {}
        return runtime.Experts(copies, **unusual)
    if op.kind == "loop":
        unusual = {name: a[name] for name in ("by_token", "mask", "whole", "balance") if name in a}
        return runtime.Loop(copies, steps=a["count"], epsilon=a["epsilon"], ponder=a["ponder"], **unusual)
    criterion = getattr(runtime, a["criterion"])(**a.get("arguments", {}))
    unusual = {name: a[name] for name in ("seen", "read", "taken", "whole", "after", "returned") if name in a}
    unusual |= {} if a["carried"] == 1 else {"carried": a["carried"]}
    unusual |= {"balance": True} if a["balance"] else {}
    return runtime.Stages(copies, criterion, a["threshold"], **unusual)
