"""A data set by the name that a recipe gives it: an embedded one, or the path of a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmspec.data.batch import Dataset
from mmspec.data.digits import DigitsQuestions
from mmspec.data.digits_captions import DigitsCaptions
from mmspec.data.digits_pictures import DigitsPictures
from mmspec.data.manifest import Manifest
from mmspec.data.spoken_words import SpokenWords
from mmspec.errors import UserError
from mmspec.reading.text import BYTES, open_tokenizer

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec


EMBEDDED = {dataset.name: dataset for dataset in (DigitsQuestions, DigitsCaptions, DigitsPictures, SpokenWords)}


def open_data(
    name: str | Path,
    spec: ModelSpec,
    *,
    tokenizer: str | Path = BYTES,
    split_seed: int = 0,
    augment: float | None = None,
) -> Dataset:
    """Open, check everything, and keep in memory what fits.

    augment   strength of the small affine variation in training; None: 1 for digits, 0 for a manifest

    Raises   UserError, SpecError: all that is wrong with the data, or with the spec for this data.
    """
    words = open_tokenizer(tokenizer)
    if name in EMBEDDED:
        return EMBEDDED[str(name)](spec, words, split_seed, augment)
    if Path(name).suffix.lower() not in (".csv", ".jsonl"):
        known = ", ".join(EMBEDDED)
        raise UserError(
            f"data: '{name}' is neither embedded ({known}) nor a manifest (a file that ends in .csv or .jsonl)"
        )
    return Manifest(Path(name), spec, words, split_seed, augment)
