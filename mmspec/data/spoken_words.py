"""Spoken key words: the embedded data set of sounds, made as it is asked for, no download.

    sounds   the utterances of `mmspec.data.tones`: one second each, at the spec's rate
    target   `word`, one of eight

A training batch is new utterances of words drawn evenly, a function of (step, size, seed) alone. Validation and test are 400
utterances each, 50 of every word, made from the split seed.

    chance                    one word in eight
    the mean spectrum alone   the word whose training utterances sound most alike on average: log power of 64 bands over the whole
                              second, nearest mean of 512 training utterances. The order of the vowels is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mmspec.data.batch import SPLITS, Batch, Example, generator
from mmspec.data.demand import Itself, Target, demand_of, refuse
from mmspec.data.tones import LOWEST_RATE, NAMES, SECONDS, utter
from mmspec.reading.preprocessing import Preprocessing
from mmspec.reading.sounds import WaveformColumn
from mmspec.reading.text import Tokenizer

if TYPE_CHECKING:
    from mmspec.spec import Diagnostic, ModelSpec

NAME = "spoken_words"
COLUMN = "word"
PER_WORD = 50  # utterances of each in validation, and in test
HEARD = 512  # training utterances that the mean spectra are made from


class SpokenWords:
    """The data set for one spec.

    Raises   SpecError: the spec's input or classes do not fit it.
    """

    name = NAME
    groups = NAMES
    notes: tuple[str, ...] = ()
    itself: tuple[Itself, ...] = ()
    known = ""

    def __init__(self, spec: ModelSpec, tokenizer: Tokenizer, split_seed: int, augment: float | None) -> None:
        demand = demand_of(spec, tokenizer)
        refuse(_misfits(spec, demand.targets, demand.columns))
        (self._input,) = demand.columns
        column = demand.columns[self._input]
        assert isinstance(column, WaveformColumn)
        self._column = column
        self.targets = demand.targets
        self._split_seed = split_seed
        self._said: dict[str, tuple[Tensor, Tensor]] = {}  # by split, once it has been asked for
        self.preprocessing = Preprocessing(demand.columns, {target.head: NAMES for target in demand.targets})

    def examples(self, split: str) -> int:
        return HEARD if split == "training" else PER_WORD * len(NAMES)

    def training_batch(self, step: int, size: int, seed: int) -> Batch:
        random = generator("words", seed, step)
        words = torch.randint(len(NAMES), (size,), generator=random)
        return self._batch(words, utter(words, self._column.rate, random))

    def evaluation_batches(self, split: str, size: int) -> Iterator[Batch]:
        words, sounds = self._utterances(split)
        for start in range(0, len(words), size):
            yield self._batch(words[start : start + size], sounds[start : start + size])

    def baselines(self, split: str) -> dict[str, float]:
        words, sounds = self._utterances("training")
        spectra = _spectra(sounds)
        means = torch.stack([spectra[words == word].mean(dim=0) for word in range(len(NAMES))])
        words, sounds = self._utterances(split)
        nearest = torch.cdist(_spectra(sounds), means).argmin(dim=1)
        return {"chance": 1 / len(NAMES), "the mean spectrum alone": float((nearest == words).double().mean())}

    def describe(self) -> dict[str, Any]:
        return {
            "data": NAME,
            "utterances": {split: self.examples(split) for split in SPLITS if split != "training"},
            "split_seed": self._split_seed,
            "words": list(NAMES),
            "rate": self._column.rate,
        }

    def save_example(self, folder: Path) -> Example:
        """The first utterance of the test split as `example.wav`."""
        import soundfile

        batch = next(self.evaluation_batches("test", 1))
        with (folder / "example.wav").open("wb") as file:
            soundfile.write(file, batch.inputs[self._input][0].numpy(), self._column.rate, format="WAV")
        return Example({self._input: "example.wav"}, {t.head: NAMES[int(batch.groups[0])] for t in self.targets})

    def _utterances(self, split: str) -> tuple[Tensor, Tensor]:
        """Words and sounds of a split; of training, those that simple rules are made from."""
        if split not in self._said:
            words, random = (
                torch.arange(self.examples(split)) % len(NAMES),
                generator(f"words/{split}", self._split_seed),
            )
            parts = [words[start : start + 64] for start in range(0, len(words), 64)]
            sounds = [utter(part, self._column.rate, random) for part in parts]
            self._said[split] = words, torch.cat(sounds)
        return self._said[split]

    def _batch(self, words: Tensor, sounds: Tensor) -> Batch:
        missing = self._column.samples - sounds.shape[1]
        inputs = {self._input: torch.nn.functional.pad(sounds, (0, missing))}
        return Batch(inputs, {COLUMN: words}, words, torch.ones(len(words), dtype=torch.float64))


def _spectra(sounds: Tensor) -> Tensor:
    """Log power of 64 bands of one width, over the whole sound and without its loudness.   f32[B, T] -> f32[B, 64]"""
    power = torch.fft.rfft(sounds).abs().square()
    bands = torch.stack([band.mean(dim=1) for band in power.tensor_split(64, dim=1)], dim=1).log()
    return bands - bands.mean(dim=1, keepdim=True)


def _misfits(spec: ModelSpec, targets: tuple[Target, ...], columns: dict[str, Any]) -> Iterator[Diagnostic]:
    sounds = [name for name, column in columns.items() if isinstance(column, WaveformColumn)]
    for name in columns:
        if name not in sounds:
            yield spec.diagnostic(f"inputs.{name}.type", f"{NAME} has sounds", expected="type: waveform")
    for name in sounds[1:]:
        yield spec.diagnostic(f"inputs.{name}", f"{NAME} has one sound, and '{sounds[0]}' is already it")
    for name in sounds:
        column = columns[name]
        if column.rate < LOWEST_RATE:
            message = f"the words of {NAME} reach up to {LOWEST_RATE // 2:,} Hz"
            yield spec.diagnostic(f"inputs.{name}.rate", message, hint=f"rate: {LOWEST_RATE} or more")
        elif column.samples < round(column.rate * SECONDS):
            yield spec.diagnostic(f"inputs.{name}.seconds", f"a word of {NAME} lasts {SECONDS:g} s, all told")
    for target in targets:
        if target.column != COLUMN:
            message = f"{NAME} has no column '{target.column}'"
            yield spec.diagnostic(f"{target.path}.target", message, expected=f"the column is: {COLUMN}")
        elif target.classes < len(NAMES):
            message = f"{NAME} has {len(NAMES)} words ({', '.join(NAMES)}), the head only {target.classes}"
            yield spec.diagnostic(f"heads.{target.head}.classes", message, hint=f"classes: {len(NAMES)}")
