"""Texts in fewer bits: the files beside the float32 files along the same texts, token by token.

The float32 files write, the likeliest token each time; both then read that token. So a token that the files would write otherwise
is counted once, and what follows it is compared all the same.

    other   share of the tokens for which another is the likeliest
    error   ||files - float32|| / ||float32||  of the logits of all of them
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmspec.deploy.file import Load
from mmspec.deploy.precision.errors import Errors
from mmspec.deploy.precision.task import Values
from mmspec.deploy.writing import Files
from mmspec.writer import Writer

MOST = 16  # tokens that are written of each text


@dataclass(frozen=True)
class Texts:
    """What was found; `allowed` is of `other`."""

    texts: int
    tokens: int
    other: float
    error: float
    allowed: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def texts_of(
    float32: Files, plain: Load, files: Files, load: Load, examples: Sequence[Values], allowed: float
) -> Texts:
    """Begun by the first half of each example's text. The float32 files run in `plain`, the others in `load`."""
    writers = float32.writer(plain), files.writer(load)
    found, texts, tokens, others = Errors(), 0, 0, 0
    for values in examples:
        inputs = begun(files.plan, files.given(values))
        texts += len(inputs[writers[0].text])
        for wanted, got in _side_by_side(writers, inputs):
            found.add("logits", wanted, got)
            tokens += len(wanted)
            others += int((wanted.argmax(axis=-1) != got.argmax(axis=-1)).sum())
    return Texts(texts, tokens, others / tokens, found.relative("logits"), allowed)


def begun(plan: Mapping[str, Any], inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs with the first half of the text, and all that keeps a place for something else; of a text without any token
    there, its first."""
    ids, present = inputs[plan["text"]], inputs[plan["mask"]]
    kept = np.flatnonzero(np.isin(ids, plan["places"]).any(axis=0))
    half = max((ids.shape[1] + 1) // 2, int(kept.max(initial=-1)) + 1)
    present = present[:, :half].copy()
    present[:, 0] |= ~present.any(axis=1)
    return {**inputs, plan["text"]: ids[:, :half], plan["mask"]: present}


def _side_by_side(
    writers: tuple[Writer, Writer], inputs: Mapping[str, np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Logits f32[b, V] of both at each token that the first writes, of the b texts that go on."""
    plan, present = writers[0].plan, inputs[writers[0].mask]
    place = present.shape[1] - present[:, ::-1].argmax(axis=1)  # behind the last token of each beginning
    found = [writer.begin(inputs, place - 1) for writer in writers]
    for left in reversed(range(MOST)):
        wanted, got = (logits for logits, _ in found)
        yield wanted, got
        tokens = wanted.argmax(axis=-1)
        on = np.flatnonzero((place < plan["length"]) & ~np.isin(tokens, [*plan["stop"], *plan["places"]]))
        if not left or not len(on):
            return
        place = place[on]
        found = [
            writer.go_on(state.of(on), tokens[on], place) for writer, (_, state) in zip(writers, found, strict=True)
        ]
        place = place + 1
