"""What a halting policy is: where samples may leave a stack, who is asked there, and what training makes of the exits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from mmspec.components.halting.by_stream import ByStream
from mmspec.components.halting.never import Never
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.scope import Body
from mmspec.spec import Halting

Each = Callable[[Value], Value]  # answers at exits [E, B, ...] -> losses f32[E, B]


class ExitPolicy(Halting):
    """When a sample leaves the stack before its end."""

    looks: ClassVar[bool] = False  # at tokens, rather than at the head's answer alone
    needs_head: ClassVar[bool] = True
    judges_answers: ClassVar[bool] = True

    head: str | None = Field(
        None,
        description="the head that is asked at every exit; it must read this node; by default the only one that does",
    )
    exits: tuple[PositiveInt, ...] | None = Field(
        None, description="blocks, counted from one, after which a sample may leave; all but the last by default"
    )
    exit_weight: NonNegativeFloat | tuple[NonNegativeFloat, ...] = Field(
        1.0, description="weight of the earlier exits' mean loss in training; or a weight for each one's"
    )
    own_heads: bool = Field(False, description="each earlier exit has a head of its own, with the named one's fields")
    distil: NonNegativeFloat = Field(
        0.0,
        description="weight of what the earlier exits lack to say the same as the last one (arXiv:1905.08094, eq. 5)",
    )
    temperature: PositiveFloat = Field(1.0, description="of both answers in that comparison")

    def criterion(self) -> Mapping[str, Any]:
        """The class of `backend.runtime.criteria` that scores samples, its arguments, and the threshold above which they leave."""
        raise NotImplementedError

    @property
    def unit(self) -> Body | None:
        """A part of the node that says how likely a sample is to halt."""
        return None

    @property
    def budget_input(self) -> str | None:
        """The input that says what each sample may cost."""
        return None

    def check(self, depth: int) -> None:
        """Raises ShapeError: a stack without an exit before its end, exits that do not lie inside it, weights of other exits"""
        if depth == 1:
            message = "a stack of one block has no exit before its end"
            raise ShapeError(message, "halting", hint="depth at least 2, or halting none")
        if self.exits is not None:
            where = "halting.exits"
            if not self.exits or any(a >= b for a, b in zip(self.exits, self.exits[1:], strict=False)):
                raise ShapeError("exits are blocks in ascending order", where, hint=f"exits: [{max(1, depth // 2)}]")
            if self.exits[-1] >= depth:
                message = f"there is no exit after block {self.exits[-1]}: a stack of {depth} blocks ends there"
                message = (
                    message if self.exits[-1] == depth else f"there is no block {self.exits[-1]}: the depth is {depth}"
                )
                raise ShapeError(message, where, hint=f"exits lie after blocks 1 to {depth - 1}")
        earlier, thresholds = self.earlier(depth), getattr(self, "threshold", None)
        if isinstance(thresholds, tuple) and len(thresholds) != earlier:
            message = f"{len(thresholds)} thresholds for {earlier} exits before the last"
            raise ShapeError(message, "halting.threshold")
        if isinstance(self.exit_weight, tuple) and len(self.exit_weight) != earlier:
            message = f"{len(self.exit_weight)} weights for {earlier} exits before the last"
            raise ShapeError(message, "halting.exit_weight")

    def check_answer(self, answer: Value) -> None:
        """Raises ShapeError: a head whose answer does not tell how sure it is of a sample"""
        if self.judges_answers and len(answer.shape) != 2:
            message = f"how sure {self.head} is of a sample cannot be told: it answers at many places"
            raise ShapeError(message, "halting.head", hint="halting: {type: improvement} looks at the tokens instead")

    def earlier(self, depth: int) -> int:
        """Exits before the end."""
        return depth - 1 if self.exits is None else len(self.exits)

    def loss(self, g: Scope, last: Value, exits: Value, chances: Value | None, each: Each) -> Value:
        """What training minimises, of the loss at the end f32[], the answers at all exits [E, B, ...] and, of a policy with a
        halting unit, the probability of each exit f32[E, B]."""
        weights = self.weights(int(exits.shape[0]) - 1)  # type: ignore[arg-type]
        if any(weights):
            last = last + g.emit("weighted_mean", each(g.emit("earlier_exits", exits)), weights=weights)
        if self.distil:
            last = last + g.emit("distillation", exits, temperature=self.temperature) * self.distil
        return last

    def weights(self, earlier: int) -> tuple[float, ...]:
        if isinstance(self.exit_weight, tuple):
            return self.exit_weight
        return (self.exit_weight / earlier,) * earlier


def policy_of(halting: Halting, depth: int) -> ExitPolicy | None:
    """The policy of a stack of `depth` blocks; None where no sample may leave.   Raises ShapeError"""
    if isinstance(halting, Never):
        return None
    if isinstance(halting, ByStream):
        message = "here is one stream, and no other to stop before it"
        hint = "a fusion of type transformer with streams: multi has several"
        raise ShapeError(message, "halting", hint=hint)
    assert isinstance(halting, ExitPolicy)
    halting.check(depth)
    return halting
