"""Primitives of pruning by decisions that train, and by a threshold. `say`, f32[B, N, 1], is 1 for tokens that count and 0 for
others."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from mmspec.ir.dims import Shape
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, primitive
from mmspec.ir.primitives.pruning import share_of


class Unmasked(Primitive):
    """What says itself who counts."""

    def mask(self, *_: Value, **__: Any) -> None:
        return None


@primitive
class AsNumbers(Unmasked):
    """1 where true.   bool[B, N] -> f32[B, N, 1]"""

    kind = "as_numbers"

    def infer(self, mask: Value) -> tuple[Shape, str]:
        return (*mask.shape, 1), "f32"

    def run(self, torch: Any, module: Any, op: Op, mask: Any) -> Any:
        return mask.unsqueeze(-1).float()


@primitive
class HaveASay(Unmasked):
    """Which tokens count.   f32[B, N, 1] -> bool[B, N]"""

    kind = "have_a_say"

    def infer(self, say: Value) -> tuple[Shape, str]:
        return say.shape[:2], "bool"

    def run(self, torch: Any, module: Any, op: Op, say: Any) -> Any:
        return torch.gt(say[..., 0], 0)


@primitive
class SayMean(Unmasked):
    """The mean of the tokens that count.   [B, N, D], f32[B, N, 1] -> [B, 1, D]"""

    kind = "say_mean"
    operations = 2
    reduces = True

    def infer(self, x: Value, say: Value) -> tuple[Shape, str]:
        return (x.shape[0], 1, x.width), x.dtype

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.say_mean(*inputs)


@primitive
class DrawSay(Unmasked):
    """Whether each token that counts still does: a straight-through draw in training, as before at inference.
    logits f32[B, N, 2], say f32[B, N, 1] -> f32[B, N, 1]"""

    kind = "draw_say"

    def infer(self, logits: Value, say: Value) -> tuple[Shape, str]:
        return say.shape, say.dtype

    def make(self, torch: Any, op: Op) -> Any:
        return torch.runtime.DrawSay()

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class ShareLoss(Unmasked):
    """`weight` times the mean over samples of (sum decided / sum say - share)^2.   f32[B, N, 1], f32[B, N, 1] -> f32[]"""

    kind = "share_loss"
    operations = 2
    reduces = True

    def infer(self, decided: Value, say: Value, *, share: Fraction, weight: float) -> tuple[Shape, str]:
        return (), "f32"

    def run(self, torch: Any, module: Any, op: Op, decided: Any, say: Any) -> Any:
        return torch.runtime.share_loss(decided, say, float(op.attributes["share"]), op.attributes["weight"])


@primitive
class KeepLearned(Unmasked):
    """At inference the numbers of the `share` of tokens with the largest scores, as `keep`; in training all.
    f32[B, N], perhaps bool[B, N] -> i64[B, ceil(share N)]"""

    kind = "keep_learned"
    reduces = True

    def infer(self, x: Value, mask: Value | None = None, *, share: Fraction) -> tuple[Shape, str]:
        return (x.shape[0], share_of(x.shape[1], share)), "i64"

    def make(self, torch: Any, op: Op) -> Any:
        share = op.attributes["share"]
        return torch.runtime.KeepAtInference(torch.runtime.Keep(share.numerator, share.denominator))

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class PickedSay(Unmasked):
    """The say of the tokens with these numbers; none for a number that no token has.   f32[B, N, 1], i64[B, K] -> f32[B, K, 1]"""

    kind = "picked_say"
    operations = 0

    def infer(self, say: Value, numbers: Value) -> tuple[Shape, str]:
        return (*numbers.shape, 1), say.dtype

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.picked_say(*inputs)


@primitive
class KeepAbove(Unmasked):
    """The numbers of the `front` tokens and of those whose score is above `threshold` times the mean: of as many as there are, N at
    most.   f32[B, N], bool[B, N] -> i64[B, N]"""

    kind = "keep_above"
    reduces = True

    def infer(self, x: Value, mask: Value, **_: Any) -> tuple[Shape, str]:
        return x.shape, "i64"

    def make(self, torch: Any, op: Op) -> Any:
        a = op.attributes
        return torch.runtime.KeepAbove(a["threshold"], **({"front": a["front"]} if a["front"] else {}))

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class FilledUp(Unmasked):
    """Tokens with zeros for those that are absent, and behind them as many as `like` has.
    [B, K, D], bool[B, K], [B, N, D] -> [B, N, D]"""

    kind = "filled_up"
    operations = 0

    def infer(self, x: Value, mask: Value, like: Value) -> tuple[Shape, str]:
        return like.shape, x.dtype

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.filled_up(*inputs)


@primitive
class FilledUpMask(Unmasked):
    """Nobody behind the end of a mask, up to the length of `like`.   bool[B, K], [B, N, D] -> bool[B, N]"""

    kind = "filled_up_mask"
    operations = 0

    def infer(self, mask: Value, like: Value) -> tuple[Shape, str]:
        return like.shape[:2], "bool"

    def run(self, torch: Any, module: Any, op: Op, mask: Any, like: Any) -> Any:
        return torch.nn.functional.pad(mask, (0, like.shape[1] - mask.shape[1]))
