"""Sentences: to token ids by the built-in bytes or by a tokenizer.json, padded to the longest of a batch.

The built-in tokenizer needs no file and no training: the byte b of the UTF-8 text is the id b + 1, and 0 is padding,
so that it needs a vocabulary of 257 and knows every language. A `tokenizer.json` (the format of Hugging Face's
tokenizers) is read by the package of that name, with the special tokens that the file adds; its own padding and
truncation are switched off.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mmspec.errors import UserError
from mmspec.files import write_atomically
from mmspec.reading.files import Array

BYTES = "bytes"
FILE = "tokenizer.json"


class Tokenizer(Protocol):
    """Text to ids."""

    @property
    def vocabulary(self) -> int:
        """The embedding rows needed: the largest id plus one."""

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; what is no text is left out."""

    def save(self, folder: Path) -> str:
        """Write what `open_tokenizer` needs into a folder; its name there, or `bytes`."""


@dataclass(frozen=True)
class ByteTokenizer:
    """One id per byte: b + 1; 0 is padding."""

    vocabulary: int = 257

    def encode(self, text: str) -> list[int]:
        return [byte + 1 for byte in text.encode()]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(id - 1 for id in ids if 0 < id <= 256).decode(errors="ignore")

    def save(self, folder: Path) -> str:
        return BYTES


@dataclass(frozen=True)
class FileTokenizer:
    """A tokenizer.json, kept as its text: saved and compared as it was read."""

    source: str

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer as HuggingFaceTokenizer

        tokenizer = HuggingFaceTokenizer.from_str(self.source)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @cached_property
    def vocabulary(self) -> int:
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids)))

    def save(self, folder: Path) -> str:
        write_atomically(folder / FILE, self.source)
        return FILE


def open_tokenizer(name: str | Path) -> Tokenizer:
    """`bytes`, or the path of a tokenizer.json.

    Raises   UserError: no such file, not a tokenizer.json, or the package `tokenizers` is missing.
    """
    if name == BYTES:
        return ByteTokenizer()
    try:
        source = Path(name).read_text(encoding="utf-8")
        json.loads(source)
    except OSError as error:
        hint = f"it may be '{BYTES}' or the path of a tokenizer.json"
        raise UserError(f"cannot read the tokenizer {name}: {error.strerror}; {hint}") from error
    except ValueError as error:
        raise UserError(f"{name} is not a tokenizer.json: {error}") from error
    tokenizer = FileTokenizer(source)
    try:
        tokenizer.vocabulary  # noqa: B018  # reads the file now, not in the first batch
    except ImportError as error:
        raise UserError(f"reading {name} needs the package tokenizers: pip install 'mmspec[tokenizers]'") from error
    except Exception as error:  # the package raises bare Exception on what it cannot read
        raise UserError(f"{name} is not a tokenizer.json: {error}") from error
    return tokenizer


@dataclass(frozen=True)
class TextColumn:
    """How an input of type `text` is read.   length: tokens at most; pad: the id that the spec calls padding, None where
    only the end says what is present; start, end: the ids that every text begins and ends with, or None."""

    tokenizer: Tokenizer
    length: int
    pad: int | None = 0
    start: int | None = None
    end: int | None = None

    is_file = False

    def read(self, text: str) -> Array:
        """i64[N] of one text, not padded and not cut; whether it is short enough is for the caller to say.

        Raises   ValueError: no tokens, or a token with the id of padding (the model would not see it).
        """
        ids = self.tokenizer.encode(text)
        if not ids:
            raise ValueError("empty text")
        if self.end is None and self.pad in ids:
            raise ValueError(f"the tokenizer gives token {ids.index(self.pad) + 1} the id {self.pad}, which is padding")
        if self.end in ids[:-1]:
            raise ValueError(f"the tokenizer gives token {ids.index(self.end) + 1} the id {self.end}, which is the end")
        ended = [] if self.end in (None, ids[-1]) else [self.end]
        return np.array([*([] if self.start is None else [self.start]), *ids, *ended])

    def begin(self, text: str) -> Array:
        """i64[N] of the beginning of a text that a model goes on with: its start, where texts have one, and no end.

        Raises   ValueError: nothing to begin with, or no room for another token.
        """
        ids = [*([] if self.start is None else [self.start]), *self.tokenizer.encode(text)]
        if self.end is not None and ids[-1:] == [self.end]:  # some tokenizers end what they are given
            ids.pop()
        if not ids:
            raise ValueError("empty text")
        if len(ids) >= self.length:
            raise ValueError(f"{len(ids)} tokens, and the model's texts end after {self.length}")
        return np.array(ids)

    def batch(self, examples: Sequence[Array]) -> Array:
        """i64[B, N], N the longest of these."""
        filling = self.pad if self.pad is not None else self.end
        assert filling is not None
        batch = np.full((len(examples), max(map(len, examples))), filling)
        for row, example in zip(batch, examples, strict=True):
            row[: len(example)] = example
        return batch

    def save(self, folder: Path) -> dict[str, Any]:
        saved = {"type": "text", "tokenizer": self.tokenizer.save(folder), "length": self.length, "pad": self.pad}
        return saved | {name: at for name, at in (("start", self.start), ("end", self.end)) if at is not None}
