"""The answer of a trained folder to one example, to see that it works."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mmspec.backend import read_serving
from mmspec.backend.runtime import Budget, Stages
from mmspec.data import Preprocessing
from mmspec.errors import UserError
from mmspec.reading.answers import answers_of
from mmspec.reading.text import TextColumn
from mmspec.spec import ModelSpec
from mmspec.training.writing import written

TOKENS = 128  # that are written at most, where nobody says how many


class Predictor:
    """A trained folder, loaded once.

    Raises   SpecError, UserError: it is not the folder of a trained model, or its files do not fit together.
    """

    def __init__(self, folder: str | Path) -> None:
        self._module = read_serving(folder)
        self.preprocessing = Preprocessing.load(Path(folder) / "data")
        spec: ModelSpec = self._module.meta["spec"]
        self._numbers = [name for name, component in spec.inputs.items() if component.type == "number"]  # type: ignore[attr-defined]
        costs = [
            stack.criterion.costs
            for stack in self._module.modules()
            if isinstance(stack, Stages) and isinstance(stack.criterion, Budget)
        ]
        self._least = min((each[0] for each in costs), default=0)  # FLOPs of the first exit

    def __call__(self, inputs: Mapping[str, str], tokens: int = TOKENS) -> dict[str, Any]:
        """By head: `answer`, its `probability`, all `probabilities` by name, and the `exit` taken where the head's
        stack may halt; of a head that compares two inputs, the `score` of these two; of one that guesses the next
        token, the `text` that it goes on with (`mmspec.training.writing`).

        inputs   by the spec's names: the path of a picture, a text; of a text that is written, its beginning; a budget of FLOPs
        tokens   how many are written at most

        Raises   UserError: an input is missing, unknown, unreadable or too long; a budget that is no number, or below the first
                 exit.
        """
        numbers = {name: self._budget(name, inputs[name]) for name in self._numbers if name in inputs}
        inputs = {name: value for name, value in inputs.items() if name not in numbers}
        known = self.preprocessing
        if not (known.answers or known.pairs or known.texts):
            raise UserError("this model gives no answers to tell: it fills in tokens, or has learned of pictures alone")
        tensors = {name: torch.from_numpy(array) for name, array in known.read(inputs).items()} | numbers
        texts: dict[str, Any] = {}
        for head, text in known.texts.items():
            column = known.columns[text]
            assert isinstance(column, TextColumn)
            texts[head] = written(self._module, tensors, head, text, column, tokens)
        if not (known.answers or known.pairs):
            return texts
        with torch.no_grad():
            outputs = self._module(**tensors)
        return texts | answers_of({name: value[0].numpy() for name, value in outputs.items()}, known)

    def _budget(self, name: str, said: str) -> torch.Tensor:
        try:
            value = float(said)
        except ValueError:
            raise UserError(f"--{name} is a number of FLOPs, such as 5e7, not {said!r}") from None
        if not value >= self._least:
            raise UserError(f"--{name} {said} is below the first exit, which costs {self._least:,} FLOPs")
        return torch.tensor([value], dtype=torch.float32)


def predict(folder: str | Path, inputs: Mapping[str, str], tokens: int = TOKENS) -> dict[str, Any]:
    """`Predictor(folder)(inputs, tokens)`, for one question."""
    return Predictor(folder)(inputs, tokens)
