"""A network decides which tokens stay."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import Field, NonNegativeFloat

from mmspec.components.pruning.base import AtBlocks
from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.functions import channel, gelu, part, rearrange


class Learned(AtBlocks):
    r"""After some blocks a small network judges every token by itself and by the mean of those that are left, and a share stays.

        z_i = GELU(W norm(x_i)),   l_i = W_2 GELU(W_1 [z_i local; mean_j z_j global])        logits: stays, leaves
        training    d_i ~ straight-through Gumbel-softmax(l_i); all tokens are computed, and attention counts a key d_j times
        inference   the ceil(keep n) tokens with the largest l_i0 - l_i1 go on, and the others are not computed

    Class tokens and registers always stay. In training, `weight` times the mean over places of (share kept - keep)^2 is added
    to the loss.

    Shapes   [B, N, D] -> [B, front + ceil(keep (N - front)), D] at inference, N tokens with a mask in training
    Raises   ShapeError: a block after the last; a width that no half has; attention or positions need every token in its place
    Source   DynamicViT, arXiv:2106.02034, sec. 3.2 and 3.3
    Differs  no distillation; the share is one of what the place before has left; attention without the 1e-6 of the published code

        image: {type: vit, depth: 12, class_token: true, pruning: {type: learned, blocks: [3, 6, 9], keep: 0.7}}
    """

    type: Literal["learned"] = "learned"
    keep: float = Field(0.7, gt=0, lt=1, description="share of the tokens that stay, each time")
    weight: NonNegativeFloat = Field(2.0, description="of the loss that brings the share kept in training to `keep`")

    def streams(self, g: Scope, x: Value) -> tuple[Value, ...]:
        """Tokens, how much say each has, and which are there."""
        mask = x.mask or g.emit("all_present", x).named("mask")
        say = g.emit("as_numbers", mask).named("say")
        x.mask = mask
        return x, say, mask

    def decide(self, g: Scope, x: Value, say: Value, front: int, masked: bool) -> tuple[Value, Value, Value]:
        """Tokens, say and mask of those that stay."""
        share = Fraction(self.keep).limit_denominator(1000)
        if not share:
            raise ShapeError(f"a share of {self.keep} keeps no token", "pruning.keep", hint="0.001 is the least")
        if x.width < 4:
            raise ShapeError(f"a width of {x.width} has no halves and quarters", "width")
        whole = say
        tokens, said = (part(each, front) if front else each for each in (x, say))
        logits = g.call("scorer", "Scorer", self.score, tokens, said)
        decided = g.emit("draw_say", logits, said, name="decide").named("decided")
        loss = g.emit("share_loss", decided, said, share=share, weight=self.weight / len(self.blocks))
        g.balance.append(loss.named("balance"))
        scores = rearrange(channel(logits, 0) - channel(logits, 1), "b n o -> b (n o)").named("scores")
        given = (tokens.mask,) if masked and tokens.mask is not None else ()
        numbers = g.emit("keep_learned", scores, *given, name="keep", share=share).named("numbers")
        kept = g.emit("picked", tokens, numbers).named("kept")
        say = g.emit("picked_say", decided, numbers).named("say")
        if front:
            kept = g.emit("concat", part(x, 0, front), kept, axis=1).named("x")
            say = g.emit("concat", part(whole, 0, front), say, axis=1).named("say")
        kept.mask = g.emit("have_a_say", say).named("kept_mask")
        return kept, say, kept.mask

    def score(self, g: Scope, tokens: Value, say: Value) -> Value:
        """[B, N, D], [B, N, 1] -> [B, N, 2]"""
        width = tokens.width // 2
        z = gelu(g.linear("embed", g.norm("norm", tokens), 2 * width)).named("z")
        whole = g.emit("say_mean", part(z, width, axis=2), say).named("whole")
        inner = gelu(g.linear("local", part(z, 0, width, axis=2), width) + g.linear("whole", whole, width, bias=False))
        return g.linear("decide", gelu(g.linear("down", inner, max(1, width // 2))), 2).named("logits")
