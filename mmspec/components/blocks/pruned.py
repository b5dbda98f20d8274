"""A stack of transformer blocks that may go on with fewer tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field

from mmspec.components.attention.dense import Full
from mmspec.components.attention.heads import Heads, attend, attend_and_weigh
from mmspec.components.blocks.halting import HaltingStack
from mmspec.components.blocks.transformer import in_proportion
from mmspec.components.halting.never import Never
from mmspec.components.head_policies.base import HeadPolicy
from mmspec.components.head_policies.every import EveryHead
from mmspec.components.positions.base import Layout
from mmspec.components.pruning.base import AtBlocks, Pruning
from mmspec.components.pruning.learned import Learned
from mmspec.components.pruning.never import KeepAll
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.scope import Body


class PrunableStack(HaltingStack):
    """Tokens through `depth` blocks, some of which leave tokens out between their attention and their feed-forward."""

    pruning: Pruning = Field(default_factory=KeepAll, description="which tokens later blocks go on with")
    head_policy: HeadPolicy = Field(
        default_factory=EveryHead, description="which heads of attention are computed for a sample"
    )

    def attention_heads(self, layout: Layout) -> Heads:
        how = super().attention_heads(layout)
        chosen = self.head_policy.chosen(self.heads)
        if chosen is None:
            return how
        if how.kv_heads not in (None, how.heads):
            raise ShapeError("heads that share keys cannot be chosen one by one", "kv_heads", hint="leave it out")
        for field, wrong in (
            ("position", self.position.inside),
            ("attention", not isinstance(self.attention, Full)),
            ("pruning", not isinstance(self.pruning, KeepAll)),
        ):
            if wrong:
                message = f"{field}: {getattr(self, field).type} knows heads by number, and here samples choose theirs"
                hint = "position: learned, attention: full and pruning: none do not"
                raise ShapeError(message, field, hint=hint)
        return replace(how, chosen=chosen)

    def through_blocks(
        self, g: Scope, x: Value, layout: Layout, *context: Value, skipped: Sequence[float] = ()
    ) -> Value:
        if not isinstance(self.pruning, AtBlocks):
            return super().through_blocks(g, x, layout, *context, skipped=skipped)
        self.check_places()
        if context:
            raise ShapeError("tokens that look at a context are not left out", "pruning", hint="pruning: none")
        places, how = self.pruning.places(self.depth), self.attention_heads(layout)
        made: dict[tuple[float, bool, bool], Body] = {}
        bodies: list[Body] = []
        for index, rate in enumerate(skipped or in_proportion(self.drop_path, self.depth)):
            kind = (rate, (index + 1) % self.router_every == 0, index + 1 in places)
            if kind not in made:
                if isinstance(self.pruning, Learned):
                    made[kind] = self.deciding_block(self.pruning, how, x.mask is not None, *kind)
                else:
                    make = self.pruning_block if kind[2] else self.keeping_block
                    made[kind] = make(self.pruning, how, *kind[:2])
            bodies.append(made[kind])
        streams = self.pruning.streams(g, x)
        y: tuple[Value, ...] = g.stack("blocks", self.depth, bodies, streams, class_name="Block", narrows=True)
        return self.pruning.finished(g, y[0], x)

    def check_places(self) -> None:
        """Raises ShapeError: something asks where each token stands, or for all of them"""
        for field, wrong in (("position", self.position.inside), ("attention", type(self.attention) is not Full)):
            if wrong:
                message = f"{field}: {getattr(self, field).type} needs every token in its place, and some are left out"
                raise ShapeError(message, field, hint="position: learned and attention: full do not")
        if not isinstance(self.halting, Never):
            message = "a sample may leave these blocks early, and others would go on with other tokens"
            raise ShapeError(message, "pruning", hint="pruning: none, or halting: none")
        if self.taps:
            raise ShapeError("inner blocks of a stack that leaves tokens out are not given out", "taps")

    def keeping_block(self, pruning: AtBlocks, how: Heads, drop_path: float, routed: bool) -> Body:
        block = self.block(how, 0, drop_path, routed)

        def body(g: Scope, streams: tuple[Value, ...]) -> tuple[Value, ...]:
            return (block(g, streams[0]), *streams[1:])  # type: ignore[arg-type]

        return body

    def pruning_block(self, pruning: AtBlocks, how: Heads, drop_path: float, routed: bool) -> Body:
        weighing = replace(how, asking="first" if how.layout.prefix else "mean")

        def body(g: Scope, streams: tuple[Value, ...]) -> tuple[Value, ...]:
            asked: list[Value] = []

            def attention(g: Scope, normed: Value) -> Value:
                y, importance = attend_and_weigh(g, "attention", normed, weighing)
                asked.append(importance)
                return y

            x = self.sublayer(g, "1", streams[0], attention, drop_path)
            x = pruning.prune(g, x, asked[0], how.layout.prefix)
            y = self.sublayer(g, "2", x, self.network(routed, how.layout), drop_path)
            return (y,) if x.mask is None else (y, x.mask)

        return body

    def deciding_block(
        self, pruning: Learned, how: Heads, masked: bool, drop_path: float, routed: bool, prunes: bool
    ) -> Body:
        """A block in which tokens count as much as they have a say, and after which some may lose it."""
        heard = replace(how, heard="some" if masked else "all")

        def body(g: Scope, streams: tuple[Value, ...]) -> tuple[Value, ...]:
            x, say, mask = streams

            def attention(g: Scope, normed: Value) -> Value:
                return attend(g, "attention", normed, normed, heard, say)

            x = self.sublayer(g, "1", x, attention, drop_path)
            x = self.sublayer(g, "2", x, self.network(routed, how.layout), drop_path)
            x.mask = mask
            return pruning.decide(g, x, say, how.layout.prefix, masked) if prunes else (x, say, mask)

        return body
