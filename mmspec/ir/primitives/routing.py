"""Primitives of routing. A route is a decision and its execution: logits, what is random about them, a choice, its weights; then
the experts (see `control`) and the sum of their answers. Each has one output.

A choice is a number for each of k, i64[..., k]; the number of experts itself stands for nobody.
"""

from __future__ import annotations

from typing import Any, ClassVar

from mmspec.ir.dims import Dim, Shape, product
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, ShapeOf, primitive
from mmspec.ir.primitives.layers import Linear


@primitive
class RouterLogits(Linear):
    """A linear layer in single precision, whatever the precision around it.   [..., D] -> [..., experts]"""

    kind = "router_logits"

    def make(self, torch: Any, op: Op) -> Any:
        sizes = (op.inputs[0].width, op.attributes["width"])
        return (
            torch.runtime.FloatLinear(*sizes)
            if op.attributes["bias"]
            else torch.runtime.FloatLinear(*sizes, bias=False)
        )


class Module(Primitive):
    """A module without parameters of `mmspec.backend.runtime`, made with the attributes in `says`."""

    module: ClassVar[str]
    says: ClassVar[tuple[str, ...]] = ()

    def make(self, torch: Any, op: Op) -> Any:
        return getattr(torch.runtime, self.module)(*(op.attributes[name] for name in self.says))

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return module(*inputs)


@primitive
class Jitter(Module):
    """Times a random number near 1, in training."""

    kind, module, says = "jitter", "Jitter", ("amount",)
    operations = 0
    alias = True  # in inference, which is what memory is asked about


@primitive
class Noise(Module):
    """Logits with normal noise in training; its standard deviation is softplus of the second.   [..., E], [..., E] -> [..., E]"""

    kind, module = "noise", "Noise"
    operations = 0
    alias = True


@primitive
class Gumbel(Module):
    """Logits as a soft sample of the experts, in training.   [..., E] -> [..., E]"""

    kind, module, says = "gumbel", "Gumbel", ("temperature",)
    operations = 0
    alias = True


class Choice(Module):
    """[..., E] -> i64[..., k]"""

    def infer(self, probabilities: Value, *_: Value, k: int = 1, **__: Any) -> tuple[Shape, str]:
        if k > probabilities.width:
            raise ShapeError(f"each token cannot meet {k} of {probabilities.width} experts", "router.k")
        return (*probabilities.shape[:-1], k), "i64"

    def mask(self, *_: Value, **__: Any) -> None:
        return None


@primitive
class Choose(Choice):
    """The k experts of largest probability, the likeliest first."""

    kind, module, says = "choose", "Choose", ("k",)
    tokenwise = True
    reduces = True


@primitive
class Cover(Choice):
    """The likeliest experts whose probabilities exceed `least` together, and nobody in the other places.
    [..., E] -> i64[..., E]"""

    kind, module, says = "cover", "Cover", ("least",)
    tokenwise = True
    reduces = True

    def infer(self, probabilities: Value, *_: Value, **__: Any) -> tuple[Shape, str]:
        return probabilities.shape, "i64"


@primitive
class Decide(Choice):
    """The likeliest expert at inference; in training all, for the gradients of what each would have answered."""

    kind, module = "decide", "Decide"
    tokenwise = True
    reduces = True


@primitive
class Draw(Choice):
    """The likeliest expert at inference; in training one drawn by its probability."""

    kind, module = "draw", "Draw"
    tokenwise = True
    reduces = True


@primitive
class NextBest(Choice):
    """The likeliest expert that has room, of each sequence's own `capacity`; nobody where none has.   [B, N, E] -> i64[B, N, 1]"""

    kind, module, says = "next_best", "NextBest", ("capacity",)
    reduces = True


@primitive
class Claim(Choice):
    """The other way round: each expert claims tokens. `share`, a fraction, of those present, over the number of experts.
    [B, N, E], perhaps bool[B, N] -> i64[B, N, E]"""

    kind, module, says = "claim", "Claim", ("share",)
    reduces = True

    def infer(self, probabilities: Value, *_: Value, **__: Any) -> tuple[Shape, str]:
        return probabilities.shape, "i64"


@primitive
class Admit(Module):
    """The choices that find room, and nobody for the others: an expert takes `capacity` tokens of a sequence, the first.
    i64[B, N, k] -> i64[B, N, k]"""

    kind, module, says = "admit", "Admit", ("experts", "capacity")
    reduces = True

    def scratch(self, op: Op, shape: ShapeOf) -> Dim:
        each: int = op.attributes["experts"] * (3 * 4 + 1) + 8  # who is sent where, and in which place of the queue
        return product(shape(op.inputs[0])) * each


@primitive
class Everyone(Choice):
    """All experts.   [..., E] -> i64[..., E]"""

    kind = "everyone"
    tokenwise = True
    operations = 0

    def infer(self, probabilities: Value, *_: Value, **__: Any) -> tuple[Shape, str]:
        return probabilities.shape, "i64"

    def make(self, torch: Any, op: Op) -> Any:
        return None

    def run(self, torch: Any, module: Any, op: Op, probabilities: Any) -> Any:
        return torch.runtime.everyone(probabilities)


@primitive
class StreamOf(Primitive):
    """Which of the streams of a row each token belongs to; `starts` are counted from the end where negative.
    [B, N, D] -> i64[B, N]"""

    kind = "stream_of"
    operations = 0

    def infer(self, x: Value, *, starts: tuple[int, ...]) -> tuple[Shape, str]:
        return x.shape[:2], "i64"

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return torch.runtime.stream_of(x, op.attributes["starts"])


@primitive
class OneChoice(Primitive):
    """Numbers as choices of one.   i64[...] -> i64[..., 1]"""

    kind = "one_choice"
    tokenwise = True
    operations = 0
    alias = True

    def infer(self, numbers: Value) -> tuple[Shape, str]:
        return (*numbers.shape, 1), numbers.dtype

    def run(self, torch: Any, module: Any, op: Op, numbers: Any) -> Any:
        return numbers.unsqueeze(-1)


@primitive
class WeightsOf(Primitive):
    """The probabilities of what was chosen: over their sum where `normalise`, 0 of nobody where there may be one.
    [..., E], i64[..., k] -> [..., k]"""

    kind = "weights_of"
    tokenwise = True
    operations = 0

    def infer(self, probabilities: Value, choice: Value, *, normalise: bool, nobody: bool) -> tuple[Shape, str]:
        return choice.shape, probabilities.dtype

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        unusual = {"normalise": True} if op.attributes["normalise"] else {}
        if op.attributes["nobody"]:
            return torch.runtime.weights_or_nothing(*inputs, **unusual)
        return torch.runtime.weights_of(*inputs, **unusual)


@primitive
class StraightThrough(Primitive):
    """1 for the likeliest choice, with the gradient of its probability.   [..., E], i64[..., k] -> [..., k]"""

    kind = "straight_through"
    tokenwise = True
    operations = 0

    def infer(self, probabilities: Value, choice: Value) -> tuple[Shape, str]:
        return choice.shape, probabilities.dtype

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.straight_through(*inputs)


@primitive
class EqualWeights(StraightThrough):
    """1 for each choice.   [..., E], i64[..., k] -> [..., k]"""

    kind = "equal_weights"
    operations = 0

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.equal_weights(*inputs)


@primitive
class Mixture(Primitive):
    """The sum of answers, each weighed.   [B, N, k, D], [B, N, k] -> [B, N, D];   [B, k, N, D], [B, k] -> [B, N, D]"""

    kind = "mixture"
    tokenwise = True
    operations = 2
    reduces = True

    def infer(self, answers: Value, weights: Value) -> tuple[Shape, str]:
        axis = len(weights.shape) - 1
        return (*answers.shape[:axis], *answers.shape[axis + 1 :]), answers.dtype

    def mask(self, *_: Value) -> None:
        return None

    def scratch(self, op: Op, shape: ShapeOf) -> Dim:
        return 4 * product(shape(op.inputs[0]))

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.mixture(*inputs)


class RouterLoss(Module):
    """A loss of a router, times its `weight`: 0 at inference.   -> []"""

    says: ClassVar[tuple[str, ...]] = ("weight",)

    def infer(self, *_: Value, **__: Any) -> tuple[Shape, str]:
        return (), "f32"

    def mask(self, *_: Value, **__: Any) -> None:
        return None


@primitive
class LoadBalance(RouterLoss):
    """Experts * sum of share times mean probability (arXiv:2101.03961, eq. 4).   [..., E], i64[..., k], perhaps bool[...] -> []"""

    kind, module = "load_balance", "LoadBalance"
    operations = 5
    reduces = True


@primitive
class Importance(RouterLoss):
    """The squared coefficient of variation of what the experts weigh (arXiv:1701.06538, eq. 6 and 7).
    [..., k], i64[..., k], perhaps bool[...] -> []"""

    kind, module, says = "importance", "Importance", ("experts", "weight")
    operations = 5
    reduces = True


@primitive
class Score(RouterLoss):
    """The logarithm of how likely each sample's choices were, less the mean over samples: its own mean is 0, so that it travels
    with the losses of routers; objectives weigh it by each sample's loss (Williams 1992, REINFORCE).
    [B, ..., E], i64[B, ..., 1], perhaps bool[B, ...] -> [B]"""

    kind, module, says = "score", "Score", ()
    operations = 5
    reduces = True

    def infer(self, probabilities: Value, *_: Value, **__: Any) -> tuple[Shape, str]:
        return probabilities.shape[:1], "f32"


@primitive
class ZLoss(RouterLoss):
    """The mean square of logsumexp of the logits (arXiv:2202.08906, eq. 5).   [..., E], perhaps bool[...] -> []"""

    kind, module = "z_loss", "ZLoss"
    operations = 5
    reduces = True


@primitive
class Diversity(RouterLoss):
    """The mean squared cosine between two experts' answers to one token.   [..., k, D], perhaps bool[...] -> []"""

    kind, module = "diversity", "Diversity"
    operations = 5
    reduces = True
