"""What the outputs for one example say, in the words of the data that the model was trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmspec.reading.files import Array
from mmspec.reading.preprocessing import Preprocessing


def answers_of(outputs: Mapping[str, Array], known: Preprocessing) -> dict[str, Any]:
    """By head: `answer`, its `probability`, all `probabilities` by name, and the `exit` taken where the head's stack may halt; of a
    head that compares two inputs, the `score` of these two.

    outputs  of one example: logits f32[C]; of a head that compares, f32[1]
    """
    scores = {head: {"score": float(outputs[head][0])} for head in known.pairs}
    return scores | {head: _answer(outputs, head, names) for head, names in known.answers.items()}


def _answer(outputs: Mapping[str, Array], head: str, names: Sequence[str]) -> dict[str, Any]:
    logits = outputs[head].astype(np.float64)
    shares = np.exp(logits - logits.max())
    chances = (shares / shares.sum())[: len(names)].tolist()
    best = max(range(len(names)), key=chances.__getitem__)
    answer = {
        "answer": names[best],
        "probability": chances[best],
        "probabilities": dict(zip(names, chances, strict=True)),
    }
    if f"{head}.exit" in outputs:
        answer["exit"] = int(outputs[f"{head}.exit"])
    return answer
