"""Primitives of objectives."""

from __future__ import annotations

from typing import Any

from mmspec.ir.dims import Shape
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, primitive, shape_text


@primitive
class CrossEntropy(Primitive):
    """-log softmax(logits)[target], the mean over samples (and exits).   f32[..., B, C], i64[B] -> f32[]"""

    kind = "cross_entropy"
    operations = 5
    reduces = True

    def infer(self, logits: Value, target: Value, *, smoothing: float) -> tuple[Shape, str]:
        return (), "f32"

    def run(self, torch: Any, module: Any, op: Op, logits: Any, target: Any) -> Any:
        return torch.runtime.cross_entropy(logits, target, op.attributes["smoothing"])


@primitive
class SampleCrossEntropy(Primitive):
    """-log softmax(logits)[target] of each sample.   f32[B, C], i64[B] -> f32[B]"""

    kind = "sample_cross_entropy"
    operations = 5
    reduces = True

    def infer(self, logits: Value, target: Value, *, smoothing: float) -> tuple[Shape, str]:
        return target.shape, "f32"

    def run(self, torch: Any, module: Any, op: Op, logits: Any, target: Any) -> Any:
        return torch.runtime.sample_cross_entropy(logits, target, op.attributes["smoothing"])


@primitive
class ScoreFunction(Primitive):
    """REINFORCE: the mean over samples of (loss - the others' mean loss) * score.   f32[B], f32[B] -> f32[]"""

    kind = "score_function"
    operations = 2
    reduces = True

    def infer(self, losses: Value, scores: Value) -> tuple[Shape, str]:
        return (), "f32"

    def run(self, torch: Any, module: Any, op: Op, losses: Any, scores: Any) -> Any:
        return torch.runtime.score_function(losses, scores)


@primitive
class MeanOfSamples(Primitive):
    """f32[B] -> f32[]"""

    kind = "mean_of_samples"
    operations = 2
    reduces = True

    def infer(self, x: Value) -> tuple[Shape, str]:
        return (), "f32"

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        return x.mean()


@primitive
class TokenCrossEntropy(Primitive):
    """-log softmax(logits)[target], the mean over tokens that are asked for: present, and the target not negative; 0 where none is.
    f32[B, N, V], i64[B, N], perhaps bool[B, N] -> f32[]"""

    kind = "token_cross_entropy"
    operations = 5
    reduces = True

    def infer(self, logits: Value, target: Value, mask: Value | None = None, *, smoothing: float) -> tuple[Shape, str]:
        return (), "f32"

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, logits: Any, target: Any, mask: Any = None) -> Any:
        return torch.runtime.token_cross_entropy(logits, target, mask, op.attributes["smoothing"])


@primitive
class CrossEntropies(Primitive):
    """-log softmax(logits)[target] of each answer, by exit and sample.   f32[E, B, C], i64[B] -> f32[E, B]"""

    kind = "cross_entropies"
    operations = 5
    reduces = True

    def infer(self, logits: Value, target: Value, *, smoothing: float) -> tuple[Shape, str]:
        return logits.shape[:-1], "f32"

    def run(self, torch: Any, module: Any, op: Op, logits: Any, target: Any) -> Any:
        return torch.runtime.cross_entropies(logits, target, op.attributes["smoothing"])


@primitive
class WeightedMean(Primitive):
    """The mean over samples, weighted by exit and summed.   f32[E, B] -> f32[]"""

    kind = "weighted_mean"
    operations = 2
    reduces = True

    def infer(self, losses: Value, *, weights: tuple[float, ...]) -> tuple[Shape, str]:
        return (), "f32"

    def run(self, torch: Any, module: Any, op: Op, losses: Any) -> Any:
        return torch.runtime.weighted_mean(losses, op.attributes["weights"])


@primitive
class ExpectedLoss(Primitive):
    """The mean over samples of losses weighted by how likely each exit is.   f32[E, B], f32[E, B] -> f32[]"""

    kind = "expected_loss"
    operations = 2
    reduces = True

    def infer(self, losses: Value, chances: Value) -> tuple[Shape, str]:
        return (), "f32"

    def run(self, torch: Any, module: Any, op: Op, losses: Any, chances: Any) -> Any:
        return (losses * chances).sum(dim=0).mean()


@primitive
class HaltingCost(Primitive):
    """How far the exits' probabilities are from the geometric distribution of a `prior`, its last exit having the rest, as
    KL(p || q); without a prior, the expected number of exits. The mean over samples.   f32[E, B] -> f32[]"""

    kind = "halting_cost"
    operations = 5
    reduces = True

    def infer(self, chances: Value, *, prior: float | None) -> tuple[Shape, str]:
        return (), "f32"

    def run(self, torch: Any, module: Any, op: Op, chances: Any) -> Any:
        return torch.runtime.halting_cost(chances, op.attributes["prior"])


@primitive
class Distillation(Primitive):
    """KL(softmax(last / T) || softmax(exit / T)) T^2, the mean over the earlier exits and samples; the last exit teaches and is not
    taught.   f32[E, B, C] -> f32[]"""

    kind = "distillation"
    operations = 5
    reduces = True

    def infer(self, exits: Value, *, temperature: float) -> tuple[Shape, str]:
        return (), "f32"

    def run(self, torch: Any, module: Any, op: Op, exits: Any) -> Any:
        return torch.runtime.distillation(exits, op.attributes["temperature"])


@primitive
class EarlierExits(Primitive):
    """All exits but the last.   f32[E, B, C] -> f32[E - 1, B, C]"""

    kind = "earlier_exits"
    operations = 0
    alias = True

    def infer(self, exits: Value) -> tuple[Shape, str]:
        return (exits.shape[0] - 1, *exits.shape[1:]), exits.dtype

    def run(self, torch: Any, module: Any, op: Op, exits: Any) -> Any:
        return exits[:-1]


@primitive
class MaskedError(Primitive):
    """Mean squared error of each vector, the mean over those that are masked; `normalise`s what it is compared with.
    [B, N, P], [B, N, P], bool[B, N] -> f32[]"""

    kind = "masked_error"
    operations = 5
    reduces = True

    def infer(self, predicted: Value, target: Value, masked: Value, *, normalise: bool) -> tuple[Shape, str]:
        if predicted.shape != target.shape:
            raise ShapeError(f"{shape_text(predicted.shape)} cannot be compared with {shape_text(target.shape)}")
        return (), "f32"

    def run(self, torch: Any, module: Any, op: Op, predicted: Any, target: Any, masked: Any) -> Any:
        return torch.runtime.masked_error(predicted, target, masked, op.attributes["normalise"])


@primitive
class InfoNce(Primitive):
    """Cross-entropy of the diagonal of a square, by rows and by columns.   f32[B, B], perhaps i64[B] -> f32[]"""

    kind = "info_nce"
    operations = 5
    reduces = True

    def infer(self, logits: Value, ids: Value | None = None) -> tuple[Shape, str]:
        return (), "f32"

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.info_nce(*inputs)


@primitive
class PairwiseSigmoid(InfoNce):
    """A yes on the diagonal of a square, a no everywhere else.   f32[B, B], perhaps i64[B] -> f32[]"""

    kind = "pairwise_sigmoid"
    operations = 5
    reduces = True

    def run(self, torch: Any, module: Any, op: Op, *inputs: Any) -> Any:
        return torch.runtime.pairwise_sigmoid(*inputs)


@primitive
class SelfDistillation(Primitive):
    """Cross-entropy of what a student says of each view with what a teacher says of every other one (arXiv:2104.14294, eq. 3), at
    temperatures; the teacher's may be a value.   [B, S, K], [B, T, K], perhaps [] -> f32[]"""

    kind = "self_distillation"
    operations = 5
    reduces = True

    def infer(
        self, said: Value, taught: Value, temperature: Value | None = None, *, student: float, teacher: float
    ) -> tuple[Shape, str]:
        if said.shape[1] == taught.shape[1] == 1:
            raise ShapeError("there is one view, and nothing to learn of another", "head", hint="views: 2")
        return (), "f32"

    def run(self, torch: Any, module: Any, op: Op, said: Any, taught: Any, temperature: Any = None) -> Any:
        teacher = op.attributes["teacher"] if temperature is None else temperature
        return torch.runtime.self_distillation(said, taught, op.attributes["student"], teacher)


@primitive
class Warmed(Primitive):
    """A number that goes in a line from `start` to `end` over the first `share` of a training, and stays.   f32[] -> f32[]"""

    kind = "warmed"

    def run(self, torch: Any, module: Any, op: Op, progress: Any) -> Any:
        start, end, share = (op.attributes[name] for name in ("start", "end", "share"))
        return start + (end - start) * torch.clamp(progress / share, max=1.0)
