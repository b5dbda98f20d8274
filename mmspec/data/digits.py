"""Questions about handwritten digits: the embedded data set, 1,797 real scans and five questions, no download.

    images   scikit-learn's digits (UCI, Alpaydin and Kaynak 1998): 8 x 8 pixels, 17 grey values, ink bright on black
    texts    the questions, weights and rules of `mmspec.data.questions`
    target   `answer`, one of twelve

A scan belongs to one split: 60 % training, 20 % validation, 20 % test, dealt by a seeded shuffle. (The 13 writers are
in all three; scikit-learn does not say who wrote what.) A training batch takes the next scans of a shuffled epoch,
draws a question for each by its weight, and varies each scan a little (`mmspec.data.images.Variation`). Evaluation
asks every question of every scan of the split, as it is, and weights the answers as training does: no draw, so no
noise of drawing.

An input of type `category` is the number of the question, from 0, in the order of `mmspec.data.questions`.

A spec may leave out the text or the image; what is then within reach is the bound that is printed beside the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from mmspec.data.batch import SPLITS, Batch, Example, generator, rows_of_step, split_rows
from mmspec.data.demand import Itself, Target, demand_of, refuse
from mmspec.data.images import resized, vary
from mmspec.data.questions import ANSWERS, TEMPLATES, best_from_image_alone, best_from_text_alone
from mmspec.files import write_atomically
from mmspec.reading.categories import CategoryColumn
from mmspec.reading.files import Array
from mmspec.reading.images import ImageColumn, normalise
from mmspec.reading.preprocessing import Preprocessing
from mmspec.reading.text import TextColumn, Tokenizer

if TYPE_CHECKING:
    from mmspec.spec import Diagnostic, ModelSpec

NAME = "digits_questions"
COLUMN = "answer"
SHARES = {"training": 0.6, "validation": 0.2, "test": 0.2}


class DigitsQuestions:
    """The data set for one spec.

    Raises   SpecError: the spec's inputs, vocabulary, length or classes do not fit it.
    """

    name = NAME
    groups = tuple(template.name for template in TEMPLATES)
    notes: tuple[str, ...] = ()
    itself: tuple[Itself, ...] = ()
    known = ""

    def __init__(self, spec: ModelSpec, tokenizer: Tokenizer, split_seed: int, augment: float | None) -> None:
        demand = demand_of(spec, tokenizer)
        texts = {name: column for name, column in demand.columns.items() if isinstance(column, TextColumn)}
        images = {name: column for name, column in demand.columns.items() if isinstance(column, ImageColumn)}
        questions = {name: [column.read(template.text) for template in TEMPLATES] for name, column in texts.items()}
        refuse(self._misfits(spec, demand.targets, questions, texts, images))

        scans, digits = load_scans()
        self._scans = scans[:, None] / 16  # f32[S, 1, 8, 8] in [0, 1]
        self._digits = digits
        self._columns = demand.columns
        self.targets = demand.targets
        self._questions = questions
        self._images = images
        self._lengths = {name: torch.tensor([len(ids) for ids in rows]) for name, rows in questions.items()}
        self._padded = {
            name: torch.from_numpy(texts[name].batch(rows)) for name, rows in questions.items()
        }  # i64[T, longest]
        self._answers = torch.tensor([[t.answer(d) for t in TEMPLATES] for d in range(10)])  # i64[10, T]
        self._weights = torch.tensor([float(t.weight) for t in TEMPLATES], dtype=torch.float64)
        self._rows = split_rows(len(digits), SHARES, split_seed)
        self._split_seed = split_seed
        self._augment = 1.0 if augment is None else augment
        self.preprocessing = Preprocessing(demand.columns, {target.head: ANSWERS for target in demand.targets})

    def examples(self, split: str) -> int:
        return len(self._rows[split])

    def training_batch(self, step: int, size: int, seed: int) -> Batch:
        rows = self._rows["training"]
        scans = rows[rows_of_step(step, size, len(rows), seed)]
        random = generator("digits", seed, step)
        templates = torch.multinomial(self._weights, size, replacement=True, generator=random)
        pictures = {
            name: vary(self._scans[scans], (column.height, column.width), self._augment, random)
            for name, column in self._images.items()
        }
        return self._batch(scans, templates, pictures, torch.ones(size, dtype=torch.float64))

    def evaluation_batches(self, split: str, size: int) -> Iterator[Batch]:
        rows = self._rows[split]
        scans = rows.repeat(len(TEMPLATES))
        templates = torch.arange(len(TEMPLATES)).repeat_interleave(len(rows))  # one question at a time: alike in length
        for start in range(0, len(scans), size):
            some, asked = scans[start : start + size], templates[start : start + size]
            pictures = {
                name: resized(self._scans[some], (column.height, column.width)) for name, column in self._images.items()
            }
            yield self._batch(some, asked, pictures, self._weights[asked])

    def baselines(self, split: str) -> dict[str, float]:
        digits = self._digits[self._rows[split]].tolist()
        return {
            "text alone": float(best_from_text_alone(digits)),
            "image alone": float(best_from_image_alone(digits)),
        }

    def describe(self) -> dict[str, Any]:
        return {
            "data": NAME,
            "scans": {split: self.examples(split) for split in SPLITS},
            "split_seed": self._split_seed,
            "augment": self._augment,
            "questions": [{"name": t.name, "text": t.text, "weight": str(t.weight)} for t in TEMPLATES],
            "rules": {"after nine": "zero", "closed loop": "0, 6, 8, 9", "greater than four": "5 to 9"},
            "answers": list(ANSWERS),
        }

    def save_example(self, folder: Path) -> Example:
        """The first scan of the test split as `example.png`, 8 x 8 pixels, and what comes after it."""
        row, template = int(self._rows["test"][0]), TEMPLATES[1]
        inputs: dict[str, str] = {}
        for name, column in self._columns.items():
            if isinstance(column, ImageColumn):
                inputs[name] = save_scan(self._scans[row, 0], folder)
            elif isinstance(column, CategoryColumn):
                inputs[name] = str(TEMPLATES.index(template))
            else:
                inputs[name] = template.text
        answer = ANSWERS[template.answer(int(self._digits[row]))]
        return Example(inputs, {target.head: answer for target in self.targets})

    def _batch(self, scans: Tensor, templates: Tensor, pictures: dict[str, Tensor], weights: Tensor) -> Batch:
        inputs: dict[str, Tensor] = {}
        for name, column in self._columns.items():
            if isinstance(column, ImageColumn):
                inputs[name] = normalise(pictures[name]).expand(-1, column.channels, -1, -1).contiguous()
            elif isinstance(column, CategoryColumn):
                inputs[name] = templates
            else:
                inputs[name] = self._padded[name][templates, : int(self._lengths[name][templates].max())]
        answers = self._answers[self._digits[scans], templates]
        return Batch(inputs, {COLUMN: answers}, templates, weights)

    @staticmethod
    def _misfits(
        spec: ModelSpec,
        targets: tuple[Target, ...],
        questions: dict[str, list[Array]],
        texts: dict[str, TextColumn],
        images: dict[str, ImageColumn],
    ) -> Iterator[Diagnostic]:
        for kind, names in (("text", list(texts)), ("image", list(images))):
            for name in names[1:]:
                yield spec.diagnostic(f"inputs.{name}", f"{NAME} has one {kind}, and '{names[0]}' is already it")
        for name, component in spec.inputs.items():
            if component.type == "category" and component.classes < len(TEMPLATES):  # type: ignore[attr-defined]
                message = f"{NAME} asks {len(TEMPLATES)} kinds of questions"
                yield spec.diagnostic(f"inputs.{name}.classes", message, hint=f"classes: {len(TEMPLATES)} or more")
        for name, rows in questions.items():
            longest = max(len(ids) for ids in rows)
            if longest > texts[name].length:
                message = f"the longest question of {NAME} has {longest} tokens"
                yield spec.diagnostic(f"inputs.{name}.length", message, hint=f"length: {longest} or more")
        for target in targets:
            if target.column != COLUMN:
                message = f"{NAME} has no column '{target.column}'"
                yield spec.diagnostic(f"{target.path}.target", message, expected=f"the column is: {COLUMN}")
            elif target.classes < len(ANSWERS):
                message = f"{NAME} has {len(ANSWERS)} answers ({', '.join(ANSWERS)}), the head only {target.classes}"
                yield spec.diagnostic(f"heads.{target.head}.classes", message, hint=f"classes: {len(ANSWERS)}")


@lru_cache(maxsize=1)
def load_scans() -> tuple[Tensor, Tensor]:
    """f32[1797, 8, 8] with values 0 to 16, and the digits i64[1797]."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return torch.from_numpy(bunch.images).float(), torch.from_numpy(bunch.target).long()


def save_scan(scan: Tensor, folder: Path) -> str:
    """A scan of values in [0, 1] as `example.png` of a folder; its name there.   f32[8, 8]"""
    content = BytesIO()
    Image.fromarray((scan * 255).round().to(torch.uint8).numpy()).save(content, "PNG")
    write_atomically(folder / "example.png", content.getvalue())
    return "example.png"
