"""A stack of transformer blocks that a sample may leave early."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from mmspec.components.blocks.transformer import TransformerStack
from mmspec.components.halting.act import Act
from mmspec.components.halting.base import ExitPolicy, policy_of
from mmspec.components.halting.never import Never
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import part, rearrange
from mmspec.ir.scope import Body
from mmspec.spec import Halting


class HaltingStack(TransformerStack):
    """At an exit a head sees what it sees at the end: tokens after the last norm, or the class token where it reads that."""

    halting: Halting = Field(default_factory=Never, description="when a sample may stop before the last block")

    def through_blocks(
        self, g: Scope, x: Value, layout: Layout, *context: Value, skipped: Sequence[float] = ()
    ) -> Value:
        if isinstance(self.halting, Act) and self.taps:
            raise ShapeError("a loop has one block, which cannot be tapped", "taps")
        if self.policy is not None and self.taps:
            message = "blocks cannot be tapped in a stack that samples may leave before them"
            raise ShapeError(message, "taps", hint="halting: none, or no taps")
        return super().through_blocks(g, x, layout, *context, skipped=skipped)

    @property
    def policy(self) -> ExitPolicy | None:
        return None if isinstance(self.halting, Act) else policy_of(self.halting, self.depth)

    def shown(self, tokens: Value, port: str, layout: Layout) -> Value:
        """The port that a head reads, of the tokens at an exit.   Raises ShapeError"""
        if not port:
            return tokens
        if port == "class" and layout.prefix:
            return rearrange(part(tokens, 0, 1), "b n c -> b (n c)").named("class")
        message = f"at an exit there are tokens, and the head reads {port!r}"
        raise ShapeError(message, "halting.head", hint="a head at exits reads the node itself, or its class token")

    def stacked(self, g: Scope, bodies: Sequence[Body], x: Value, *shared: Value, layout: Layout) -> Value:
        if isinstance(self.halting, Act):
            return self.halting.stack(g, "blocks", self.depth, bodies, x, *shared, class_name="Block")
        policy = self.policy
        if policy is None:
            return super().stacked(g, bodies, x, *shared, layout=layout)
        port = g.port_read(policy.head) if policy.head is not None else ""

        def readout(g: Scope, x: Value) -> tuple[Value, Value]:
            tokens = self.normed(g, "norm", x).named("tokens") if self.final_norm else x
            return tokens, self.shown(tokens, port, layout)

        y: Value = g.stack(
            "blocks", self.depth, bodies, x, *shared, class_name="Block", halting=policy,
            readout=readout if self.final_norm or port else None,
        )  # fmt: skip
        return y
