"""The host loop of a model that writes a text: runs an encoder once, the beginning of the text once, and then token by token.

    model = Writer.load("package/onnx")
    model.generate({"text": ids, "text_mask": present}, most=20)      # the ids that each sample goes on with

encoder   all inputs but the text -> what the text is written about
prefill   the beginning, at most as long as the longest text -> logits at its last token; keys and values of all
step      one token of each sample, where it stands, keys and values so far -> its logits; keys and values with its own

A sample goes on after its last token that is present, wherever the beginnings of others end: they may be filled up at either end.
It leaves the batch when it has ended. writer.json beside the files says which file is which. This file and host.py need numpy and
onnxruntime, and nothing else of mmspec: copies of them lie in every such package.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmspec.host import Load, Run, Values, session

PLAN = "writer.json"  # beside the files


@dataclass(frozen=True)
class State:
    """What is kept between two tokens: values by name, with the samples along their first axis but for those in `whole`; where the
    tokens so far stand i64[B, P], and which of them are present bool[B, P]."""

    values: Values
    places: Any
    present: Any
    whole: frozenset[str]

    def of(self, rows: Any) -> State:
        """Of some of the samples."""
        values = {name: value if name in self.whole else value[rows] for name, value in self.values.items()}
        return replace(self, values=values, places=self.places[rows], present=self.present[rows])


class Writer:
    """A model that writes.

    plan   what writer.json holds:
             files   encoder (null: there is nothing but the text), prefill, step
             text    the input that is written, and `mask`, the one that says which of its tokens are present
             head    the output: logits of the next token
             length  of the longest text
             stop    ids that end a text, where the caller names no others
             places  ids that keep a place for something else: they are read, never written
             kept    what attention keeps of each token, by name
             whole   values of the encoder that are one for all samples
    runs   each file as a function, by name
    """

    def __init__(self, plan: Mapping[str, Any], runs: Mapping[str, Run]) -> None:
        files = plan["files"]
        self.plan, self.text, self.mask = plan, plan["text"], plan["mask"]
        self.encoder = runs[files["encoder"]] if files["encoder"] else None
        self.prefill, self.step = runs[files["prefill"]], runs[files["step"]]

    @classmethod
    def load(cls, folder: str | Path, threads: int = 0, load: Load = session) -> Writer:
        """The files in a folder; `threads` for each, 0 for as many as there are cores; `load`, where not ONNX Runtime."""
        plan = json.loads((Path(folder) / PLAN).read_text(encoding="utf-8"))
        names = filter(None, plan["files"].values())
        return cls(plan, {name: load(str(Path(folder) / name), threads) for name in names})

    def generate(
        self, inputs: Mapping[str, Any], most: int | Sequence[int], stop: Sequence[int] | None = None
    ) -> list[list[int]]:
        """The ids that the model goes on with, each the likeliest; without those that ended the text.

        inputs   by name, as contract.json says; of the text, its beginning
        most     tokens that are written at most, of all samples or of each; none is written beyond the longest text
        stop     ids that end a text; the plan's by default

        Raises   ValueError: a beginning without any token, or longer than the longest text
        """
        texts: list[list[int]] = [[] for _ in inputs[self.mask]]
        for rows, tokens in self.write(inputs, most, stop):
            for row, token in zip(rows, tokens, strict=True):
                texts[row].append(int(token))
        return texts

    def write(
        self, inputs: Mapping[str, Any], most: int | Sequence[int], stop: Sequence[int] | None = None
    ) -> Iterator[tuple[Any, Any]]:
        """The same token by token: which samples go on i64[S], and with which ids i64[S]."""
        ends = [*(self.plan["stop"] if stop is None else stop), *self.plan["places"]]
        place = self._after(np.asarray(inputs[self.mask]))
        last = np.minimum(place + np.asarray(most), self.plan["length"])  # where each text has no more room
        rows = np.arange(len(place))
        logits, state = self.begin(inputs, place - 1)
        while True:
            tokens = logits.argmax(axis=-1)
            goes_on = (place < last) & ~np.isin(tokens, ends)
            yield rows[goes_on], tokens[goes_on]
            on = np.flatnonzero(goes_on & (place + 1 < last))
            if not len(on):
                return
            if len(on) < len(rows):
                rows, tokens, place, last, state = rows[on], tokens[on], place[on], last[on], state.of(on)
            logits, state = self.go_on(state, tokens, place)
            place = place + 1

    def __call__(self, inputs: Mapping[str, Any]) -> Values:
        """The outputs by name, as the model gives them at once: logits f32[B, N, V] at every token of a text."""
        return {self.plan["head"]: np.stack([*self.walk(inputs, 1, inputs[self.text].shape[1])], axis=1)}

    def walk(self, inputs: Mapping[str, Any], begin: int, end: int) -> Iterator[Any]:
        """Logits f32[B, V] at the last of a text's first `begin` tokens, and after a step to each that follows, up to `end`. All
        stand where they stand in the row. There is no step to what keeps a place: it is read with the beginning."""
        ids, present = inputs[self.text], inputs[self.mask]
        kept = np.flatnonzero(np.isin(ids, self.plan["places"]).any(axis=0))
        first = max(begin, int(kept.max(initial=0)) + 1)
        beginning = {**inputs, self.text: ids[:, :first], self.mask: present[:, :first]}
        for place in range(begin - 1, min(first, end)):
            logits, state = self.begin(beginning, np.full(len(ids), place))
            yield logits
        for place in range(first, end):
            logits, state = self.go_on(state, ids[:, place], np.full(len(ids), place), present[:, place])
            yield logits

    def begin(self, inputs: Mapping[str, Any], last: Any) -> tuple[Any, State]:
        """Logits f32[B, V] at the tokens `last` i64[B] of the beginning, and what is kept of all of it."""
        values = {**inputs, **({} if self.encoder is None else self.encoder(inputs))}
        ids = np.asarray(inputs[self.text])
        found = self.prefill({**values, f"{self.text}.last": np.asarray(last, np.int64)[:, None]})
        places = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
        state = State(values, places, np.asarray(inputs[self.mask]), frozenset(self.plan["whole"]))
        return found[self.plan["head"]][:, 0], self._kept(state, found)

    def go_on(self, state: State, tokens: Any, places: Any, present: Any = True) -> tuple[Any, State]:
        """Logits f32[B, V] after one more token of each sample, i64[B], which stands at `places` i64[B]."""
        here = np.broadcast_to(np.asarray(present, bool), tokens.shape)
        state = replace(
            state,
            places=np.concatenate([state.places, np.asarray(places, np.int64)[:, None]], axis=1),
            present=np.concatenate([state.present, here[:, None]], axis=1),
        )
        token = {self.text: np.asarray(tokens, np.int64)[:, None]}
        seen = {f"{self.text}.places": state.places, f"{self.text}.present": state.present}
        found = self.step({**state.values, **token, **seen})
        return found[self.plan["head"]][:, 0], self._kept(state, found)

    def _kept(self, state: State, found: Values) -> State:
        kept = {f"past.{name}": found[f"present.{name}"] for name in self.plan["kept"]}
        return replace(state, values={**state.values, **kept})

    def _after(self, present: Any) -> Any:
        """The place after the last token of each beginning that is present.   bool[B, N] -> i64[B]"""
        if present.shape[1] > self.plan["length"]:
            raise ValueError(f"a beginning has {present.shape[1]} tokens, and a text at most {self.plan['length']}")
        empty = np.flatnonzero(~present.any(axis=1))
        if len(empty):
            raise ValueError(f"sample {empty[0]} has no beginning: no token of it is present")
        return present.shape[1] - present[:, ::-1].argmax(axis=1)
