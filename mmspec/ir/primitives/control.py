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
    """`count` copies of one subgraph; each token meets the `k` that its logits favour, and weighs their answers by its
    probabilities (`normalise`: over the sum of the k). Above a `capacity`, tokens of a sequence get zeros.   bodies: (expert,)

    Inputs are tokens [B, N, D], router logits [B, N, count] and perhaps a mask bool[B, N]. Outputs are [B, N, D] and the
    balance loss. The shapes in the body are those of all tokens sent to all experts together: B * N * k rows.
    """

    kind = "experts"
