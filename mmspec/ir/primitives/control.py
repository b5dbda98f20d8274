"""Operations that hold graphs of their own. Their outputs are decided by the scope that emits them; their torch form is a
module of the back end around the modules of their bodies."""

from __future__ import annotations

from typing import Any

from mmspec.ir.graph import Op
from mmspec.ir.primitives.base import Primitive, primitive


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
class Repeat(Control):
    """One block, `count` times, each copy with weights of its own.   bodies: (block,)

    The first `carried` inputs go from block to block, the others are the same for all. Outputs are the last block's carried
    values, what the blocks in `taps` (counted from one) carried on, and the balance loss.
    """

    kind = "repeat"


@primitive
class Stages(Control):
    """One block, up to `count` times; after each but the last a sample stops if its head is sure.   bodies: (block,)

    Inputs are the head (a function), a readout (a function, only with several carried values), then what the block takes.
    Outputs are the carried values at each sample's exit, the head's output there, the exit's index i64[B], and the head's
    output at all exits f32[count, B, ...], which exists in training only.
    """

    kind = "stages"

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        if op.attributes["readout"]:
            head, readout, *values = inputs
            return module(head, *values, readout=readout)
        return module(*inputs)


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
