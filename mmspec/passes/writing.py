"""A model that writes a text, as three: what does not depend on the text, its beginning, and one token more.

encoder   inputs but the text -> what the text is written about, keys and values of attention to it included: once for each sample
prefill   the text's beginning and the above -> logits at one token, and the keys and values of every token
step      a token, where it stands, and what was kept -> its logits, and what was kept with its own keys and values behind it

A token of the step stands where the step is told, and so does every one before it: the samples of a batch have beginnings of
different lengths, so that what is kept of them has gaps, and may be longer than any of the texts. Absent tokens are those of the
mask, in the beginning as in the step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mmspec.ir import Graph
from mmspec.ir.dims import Polynomial
from mmspec.passes.flattening import flatten
from mmspec.passes.parts import leading_to
from mmspec.passes.text_cut import FULL, Cut
from mmspec.passes.text_step import step_of
from mmspec.spec import Diagnostic, ModelSpec, SpecError


@dataclass(frozen=True)
class Writing:
    """The three graphs; `encoder` is None where there is nothing but the text.

    Ports are called as the model's own where they are its own. Others have dotted names, which no input of a spec has:

    context.<path>.key        what the encoder gives
    <text>.last               i64[B, 1]: at which token of the beginning the prefill answers
    <text>.places             i64[B, P + 1]: where the tokens stand, the new one last
    <text>.present            bool[B, P + 1]: which of them are present
    past.<path>.key           f32[B, g, P, d]: what was kept of an attention's keys; of its values, past.<path>.value
    present.<path>.key        the same with those of the new tokens
    """

    text: str
    head: str
    encoder: Graph | None
    prefill: Graph
    step: Graph
    kept: tuple[str, ...]  # <path>.key and <path>.value of every attention of the text to itself


def cut_for_writing(spec: ModelSpec, graph: Graph) -> Writing:
    """The three graphs of one in serving form.   Raises SpecError: it writes no text, or not one token after another"""
    head = _head(spec, graph)
    flat = flatten(graph)
    logits = flat.outputs[head]
    row = logits.shape[1]
    text = next((v for v in flat.inputs if v.dtype == "i64" and v.shape[1:] == (row,)), None)
    if text is None or not isinstance(row, Polynomial):
        where = _path(spec, head)
        message = f"{head} is asked at tokens that are not those of one text: {row} of them"
        raise SpecError([spec.diagnostic(where, message, hint=INSTEAD)])
    ops = leading_to(flat.ops, [logits])
    cut = Cut(flat, head, text, row, ops)
    problems = [*_refused(spec, cut)]
    if problems:
        raise SpecError(problems)
    return Writing(text.name, head, cut.encoder(), cut.prefill(), step_of(cut), tuple(cut.kept()))


INSTEAD = "decoding: none exports one file, which computes the whole text at every step"


def _head(spec: ModelSpec, graph: Graph) -> str:
    writers = [
        node.name for node in spec.nodes
        if getattr(node.component, "type", "") == "language_model" and node.name in graph.outputs
    ]  # fmt: skip
    if len(writers) == 1:
        return writers[0]
    if writers:
        message = f"one text is written, by one head; here are {', '.join(writers)}"
        raise SpecError([spec.diagnostic(_path(spec, writers[1]), message, hint=INSTEAD)])
    message = "nothing is written here: there is no head of type language_model"
    raise SpecError([spec.diagnostic("heads", message, hint="decoding: none")])


def _path(spec: ModelSpec, name: str) -> str:
    return next((node.path for node in spec.nodes if node.name == name), "")


def _refused(spec: ModelSpec, cut: Cut) -> Iterator[Diagnostic]:
    """What cannot be computed token by token, the first that is found at each place of the spec."""
    told: set[str] = set()
    for op in cut.written:
        reason = cut.refusal(op)
        node = op.name.partition(".")[0]
        field = "attention" if op.kind.endswith("attention") else FIELDS.get(op.kind)
        at = f"{_path(spec, node)}.{field}" if field else _path(spec, node)
        if reason and at not in told:
            told.add(at)
            yield spec.diagnostic(at, f"{node} cannot write token by token: {reason}", hint=INSTEAD)


FIELDS = {"stages": "halting", "loop": "halting"} | dict.fromkeys(FULL, "router")  # where it is said
