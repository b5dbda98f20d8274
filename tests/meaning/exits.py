"""What a halting stack should give, sample by sample: run block after block, ask the head, stop when it is sure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from reference import (
    Mix,
    Stream,
    Weights,
    attention_over_modalities,
    classification,
    concat,
    cross_attention,
    feed_forward,
    gated,
    multi_stream,
    row,
    single_stream,
)
from tiny_models import masks
from torch import Tensor, nn

Formula = Callable[[Weights, Mapping[str, Stream], Mix], Iterator[Stream | dict[str, Stream]]]

FORMULAS: dict[str, Formula] = {
    "type: concat": concat,
    "type: attention, heads: 4": lambda w, streams, mix: attention_over_modalities(w, streams, 4, mix),
    "type: gated, heads: 4": lambda w, streams, mix: gated(w, streams, 4, mix),
    "type: cross_attention, heads: 2": lambda w, streams, mix: cross_attention(w, streams, 2, "sequential", mix),
    "type: cross_attention, heads: 4, order: parallel": lambda w, streams, mix: cross_attention(
        w, streams, 4, "parallel", mix
    ),
    "type: transformer, heads: 4": lambda w, streams, mix: single_stream(w, streams, 4, mix),
    "type: transformer, heads: 4, streams: multi": lambda w, streams, mix: multi_stream(w, streams, 4, mix),
}


@dataclass(frozen=True)
class Step:
    """One sample after one block: the tokens of `joint` (and of its streams), and what the head says to them."""

    tokens: dict[str, Tensor]
    logits: Tensor

    @property
    def confidence(self) -> float:
        return self.logits.softmax(-1).max().item()


Journey = list[Step]


def journeys(
    model: nn.Module, fusion: str, found: Mapping[str, Tensor], inputs: dict[str, Tensor], mix: Mix = feed_forward
) -> list[Journey]:
    """Each sample of a batch, alone, through all blocks. `found` has the encoders' outputs under their names."""
    w, there = Weights.of(model), masks(inputs)
    samples = []
    for b in range(len(next(iter(inputs.values())))):
        streams: dict[str, Stream] = {}
        for name, present in there.items():
            streams[name] = (found[name][b : b + 1].double(), None if present is None else present[b : b + 1])
        samples.append([step(w, after) for after in FORMULAS[fusion](w.at("joint"), streams, mix)])
    return samples


def step(w: Weights, after: Stream | dict[str, Stream]) -> Step:
    streams = after if isinstance(after, dict) else {}
    x, present = row(*streams.values()) if streams else after
    tokens = {"joint": x[0], **{f"joint.{name}": stream[0][0] for name, stream in streams.items()}}
    return Step(tokens, classification(w.at("label"), x, present)[0])


def exit_of(journey: Journey, thresholds: Tensor) -> int:
    """The index of the first block whose head is surer than its threshold; the last where none is."""
    for index, threshold in enumerate(thresholds.tolist()):
        if journey[index].confidence > threshold:
            return index
    return len(journey) - 1


def between(confidences: list[float], share: float) -> float:
    """A threshold in the widest gap near which about `share` of the confidences are above it."""
    ordered = sorted(confidences, reverse=True)
    low, high = int(share * len(ordered) * 0.6), int(share * len(ordered) * 1.4)
    gaps = [
        (ordered[i] - ordered[i + 1], (ordered[i] + ordered[i + 1]) / 2)
        for i in range(low, min(high, len(ordered) - 2) + 1)
    ]
    return max(gaps)[1]


def splitting(samples: list[Journey], *shares: float) -> list[float]:
    """A threshold for each exit but the last, at which about its share of the samples that have come so far leave."""
    thresholds: list[float] = []
    for block, share in enumerate(shares or (0.4,) * (len(samples[0]) - 1)):
        confidences = [journey[block].confidence for journey in samples]
        thresholds.append(between(confidences, share) if len(samples) > 1 else (1 + confidences[0]) / 2)
        samples = [journey for journey in samples if journey[block].confidence <= thresholds[-1]]
    return thresholds
