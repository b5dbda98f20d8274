"""A text that a package writes: where it begins, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmspec.reading.preprocessing import Preprocessing
from mmspec.reading.text import Tokenizer
from mmspec.runtime.ports import BadRequest, Contract
from mmspec.runtime.samples import Sample, batches_of, plain, stacked
from mmspec.writer import Writer

TOKENS = 128  # that are written at most, where nobody says how many

Text = dict[str, Any]


@dataclass(frozen=True)
class Beginning:
    """A sample that a model goes on with.

    tokens   that are written at most
    room     that have room, as long as texts may be
    told     is given each id as soon as it is written
    """

    sample: Sample
    tokens: int
    room: int
    told: Callable[[int], None] = lambda id: None


def beginning_of(sample: Sample, tokens: object, writer: Writer) -> Beginning:
    """Raises   BadRequest: nothing to go on from, no room to go on, or no number of tokens."""
    if type(tokens) is not int or tokens < 1:
        raise BadRequest("tokens", "a whole number from 1")
    present = np.flatnonzero(sample.arrays[writer.mask])
    if not len(present):
        raise BadRequest(writer.text, "absent, and a text goes on from a token that is present")
    longest, begun = int(writer.plan["length"]), int(present[-1]) + 1
    if begun >= longest:
        raise BadRequest(writer.text, f"{begun} tokens, and the model's texts end after {longest}")
    return Beginning(sample, tokens, longest - begun)


def shortest(contract: Contract, writer: Writer) -> Beginning:
    """Something to write before the first request comes."""
    sample = plain(contract)
    present = np.ones_like(sample.arrays[writer.mask])
    return beginning_of(Sample({**sample.arrays, writer.mask: present}, sample.sizes), 2, writer)


def texts_of(
    beginnings: Sequence[Beginning], writer: Writer, contract: Contract, most: int, wanted: Callable[[], bool]
) -> list[list[int]]:
    """The ids that each goes on with, in batches of at most `most`; texts that are no longer `wanted` are left where they are."""
    texts: list[list[int]] = [[] for _ in beginnings]
    for group in batches_of([each.sample for each in beginnings], contract, most):
        chosen = [beginnings[number] for number in group]
        given = stacked([each.sample for each in chosen], contract)
        for rows, ids in writer.write(given, [each.tokens for each in chosen]):
            for row, id in zip(rows.tolist(), ids.tolist(), strict=True):
                texts[group[row]].append(id)
                chosen[row].told(id)
            if not wanted():
                return texts
    return texts


def answer_of(ids: Sequence[int], beginning: Beginning, tokenizer: Tokenizer | None) -> Text:
    """What a text is answered with: see `Session.write`."""
    said = {"text": tokenizer.decode(ids)} if tokenizer else {}
    return {**said, "ids": list(ids), "ended": len(ids) < min(beginning.tokens, beginning.room)}


def tokenizer_of(known: Preprocessing | None, text: str) -> Tokenizer | None:
    """What reads and writes an input, where the package knows."""
    return getattr(known.columns.get(text), "tokenizer", None) if known else None
