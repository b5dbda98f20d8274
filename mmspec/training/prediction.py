"""The answer of a trained folder to one example, to see that it works."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mmspec.backend import read_serving
from mmspec.data import Preprocessing
from mmspec.errors import UserError


class Predictor:
    """A trained folder, loaded once.

    Raises   SpecError, UserError: it is not the folder of a trained model, or its files do not fit together.
    """

    def __init__(self, folder: str | Path) -> None:
        self._module = read_serving(folder)
        self.preprocessing = Preprocessing.load(Path(folder) / "data")

    def __call__(self, inputs: Mapping[str, str]) -> dict[str, Any]:
        """By head: `answer`, its `probability`, all `probabilities` by name, and the `exit` taken where the head's
        stack may halt; of a head that compares two inputs, the `score` of these two.

        inputs   by the spec's names: the path of a picture, a text

        Raises   UserError: an input is missing, unknown, unreadable or too long.
        """
        if not (self.preprocessing.answers or self.preprocessing.pairs):
            raise UserError("this model gives no answers to tell: it guesses tokens, or has learned of pictures alone")
        tensors = self.preprocessing.read(inputs)
        with torch.no_grad():
            outputs = self._module(**tensors)
        scores = {head: {"score": float(outputs[head][0, 0])} for head in self.preprocessing.pairs}
        return scores | {head: self._answer(outputs, head, names) for head, names in self.preprocessing.answers.items()}

    def _answer(self, outputs: Mapping[str, torch.Tensor], head: str, names: tuple[str, ...]) -> dict[str, Any]:
        chances = torch.softmax(outputs[head][0].double(), dim=0)[: len(names)].tolist()
        best = max(range(len(names)), key=chances.__getitem__)
        answer = {
            "answer": names[best],
            "probability": chances[best],
            "probabilities": dict(zip(names, chances, strict=True)),
        }
        if f"{head}.exit" in outputs:
            answer["exit"] = int(outputs[f"{head}.exit"][0])
        return answer


def predict(folder: str | Path, inputs: Mapping[str, str]) -> dict[str, Any]:
    """`Predictor(folder)(inputs)`, for one question."""
    return Predictor(folder)(inputs)
