"""A model that writes a text, as three: what does not depend on the text, its beginning, and one token more.

encoder   inputs but the text -> what the text is written about, keys and values of attention to it included: once for each sample
prefill   the text's beginning and the above -> logits at one token, and the keys and values of every token
step      a token, where it stands, and what was kept -> its logits, and what was kept with its own keys and values behind it

A token of the step stands where the step is told, and so does every one before it: the samples of a batch have beginnings of
different lengths, so that what is kept of them has gaps, and may be longer than any of the texts. Absent tokens are those of the
mask, in the beginning as in the step.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmspec.ir import PRIMITIVES, Dim, Graph, Op, Shape, Value
from mmspec.ir.dims import Polynomial, put, symbol
from mmspec.ir.graph import Parameter
from mmspec.passes.flattening import flatten, owned_once
from mmspec.spec import Diagnostic, ModelSpec, SpecError

PAST = "P"  # the symbol of how many tokens are kept
LAST, PLACES, PRESENT = "last", "places", "present"  # of a text's ports: <text>.last


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
    ops = _leading_to(flat.ops, [logits])
    cut = _Cut(flat, head, text, row, ops)
    problems = [*_refused(spec, cut)]
    if problems:
        raise SpecError(problems)
    return Writing(text.name, head, cut.encoder(), cut.prefill(), cut.step(), tuple(cut.kept()))


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


def _refused(spec: ModelSpec, cut: _Cut) -> Iterator[Diagnostic]:
    """What cannot be computed token by token, once for each node."""
    told: set[tuple[str, str]] = set()
    for op in cut.written:
        reason = cut.refusal(op)
        node = op.name.partition(".")[0]
        if reason and (node, reason) not in told:
            told.add((node, reason))
            yield spec.diagnostic(_path(spec, node), f"{node} cannot write token by token: {reason}", hint=INSTEAD)


@dataclass
class _Cut:
    """Where a flat graph is cut: `written` depends on the text, `about` on other inputs alone, `fixed` on none."""

    flat: Graph
    head: str
    text: Value
    row: Polynomial
    ops: list[Op]
    written: list[Op] = field(init=False)
    about: list[Op] = field(init=False)
    fixed: list[Op] = field(init=False)
    masks: set[int] = field(default_factory=set)  # the text's own mask, as it was given and as it is read

    def __post_init__(self) -> None:
        own = {id(v) for v in self.flat.inputs if v.shape[1:2] == (self.row,)}
        self.depends = _depending(self.ops, own)
        moved = _depending(self.ops, {id(v) for v in self.flat.inputs})
        self.written = [op for op in self.ops if id(op.outputs[0]) in self.depends]
        self.about = [op for op in self.ops if id(op.outputs[0]) in moved - self.depends]
        self.fixed = [op for op in self.ops if id(op.outputs[0]) not in moved]
        self.masks = {id(op.outputs[0]) for op in self.written if op.kind == "token_mask"}

    def refusal(self, op: Op) -> str:
        """Why an operation on the text cannot go on from what was kept; empty where it can."""
        own = [id(value) in self.depends for value in op.inputs]
        match op.kind:
            case "token_mask" | "first_rows":
                return ""
            case "insert_tokens":
                return "" if own == [True, False, True] else "what is put into the text depends on the text itself"
            case "rotate":
                return "it has tokens at its front that stand nowhere" if op.attributes["first"] else ""
            case "distance_bias":
                return "" if own[2:] == [True, True] else "its distances are those between a text and something else"
            case "attention" if own[:3] == [True, False, False]:
                return "a bias of its attention depends on the text" if op.attributes["biased"] else ""
            case "attention":
                return self._attention_refusal(op)
            case "stages" | "loop":
                return "a token that leaves early has no keys and values in the blocks after it, for later tokens to see"
        if not PRIMITIVES[op.kind].is_tokenwise(op):
            return f"{op.kind} looks at several of its tokens at once"
        shapes = [value.shape for value in (*op.inputs, *op.outputs) if id(value) in self.depends]
        if any(shape.count(self.row) != 1 for shape in shapes):
            return f"{op.kind} works on what is not a row of tokens"
        if any(shape[0] == self.row for shape in shapes) and any(len(shape) > 3 for shape in shapes):
            return f"{op.kind} gives places to what is no row of tokens"
        return ""

    def _attention_refusal(self, op: Op) -> str:
        a = op.attributes
        if not a["causal"]:
            return "a token of it sees later ones, so that its keys and values change as the text goes on"
        if a.get("prefix"):
            return "its first tokens see one another both ways, so that their keys and values change as the text goes on"
        if op.inputs[1].shape[2] != self.row or op.inputs[0].shape[2] != self.row:
            return "its attention is not from each of its tokens to each"
        if not a["masked"] or id(op.inputs[3]) not in self.masks:
            return "its attention does not look at the text's own mask"
        return ""

    def itself(self) -> Iterator[Op]:
        """Attention of the text to itself."""
        for op in self.written:
            if op.kind == "attention" and id(op.inputs[1]) in self.depends:
                yield op

    def kept(self) -> Iterator[str]:
        for op in self.itself():
            yield from (f"{op.name}.key", f"{op.name}.value")

    def handed(self) -> dict[str, Value]:
        """What the text's part reads of the rest, by name: the encoder's outputs."""
        known = {id(value) for op in self.about for value in op.outputs}
        names: dict[int, str] = {}
        found: dict[str, Value] = {}
        for op in self.written:
            for place, value in enumerate(op.inputs):
                if id(value) in known and id(value) not in names:
                    told = {1: "key", 2: "value"}.get(place) if op.kind == "attention" else None
                    name = base = f"context.{op.name}.{told}" if told else f"context.{value.name}"
                    number = 1
                    while name in found:
                        name, number = f"{base}_{number + 1}", number + 1
                    names[id(value)], found[name] = name, value
        return found

    def encoder(self) -> Graph | None:
        handed = self.handed()
        if not handed:
            return None
        return _graph(self.flat, "Encoder", self.flat.inputs, [*self.fixed, *self.about], handed, self.flat.limits)

    def prefill(self) -> Graph:
        """The beginning in full, but for what only the answer needs: that is computed at one token."""
        instead = {id(value): _port(name, value) for name, value in self.handed().items()}
        last = Value(f"{self.text.name}.{LAST}", (self.text.shape[0], 1), "i64", self.text.scope)
        tail = self._tail()
        picked: dict[int, Value] = {}
        made = _Made()
        for op in self._in_order():
            inputs = [instead.get(id(value), value) for value in op.inputs]
            outputs = op.outputs
            if id(op) in tail:
                for i, value in enumerate(inputs):
                    if id(op.inputs[i]) in self.depends and id(op.inputs[i]) not in picked:
                        picked[id(op.inputs[i])] = made.emit("picked", value, last)
                inputs = [picked.get(id(value), given) for value, given in zip(op.inputs, inputs, strict=True)]
                outputs = tuple(self._one(value) for value in op.outputs)
                picked |= {id(value): one for value, one in zip(op.outputs, outputs, strict=True)}
            made.ops.append(replace(op, inputs=tuple(inputs), outputs=outputs))
        logits = self.flat.outputs[self.head]
        outputs_by_name = {self.head: picked.get(id(logits), logits)} | {
            f"present.{op.name}.{name}": op.inputs[place] for op in self.itself() for name, place in SIDES
        }
        inputs_of_it = (*self.flat.inputs, last, *instead.values())
        return _graph(self.flat, "Prefill", inputs_of_it, made.ops, outputs_by_name, self.flat.limits)

    def step(self) -> Graph:
        """One token, by the same operations where they look at one token, and from what was kept where they look at others."""
        step = _Step(self)
        for op in self._in_order():
            step.run(op)
        return step.graph()

    def _in_order(self) -> Iterator[Op]:
        about = set(map(id, self.about))
        return (op for op in self.ops if id(op) not in about)

    def _tail(self) -> set[int]:
        """The operations that work token by token on [B, N, ...] and whose results nothing but the answer needs."""
        readers: dict[int, list[Op]] = {}
        for op in self.ops:
            for value in op.inputs:
                readers.setdefault(id(value), []).append(op)
        asked, tail = id(self.flat.outputs[self.head]), set[int]()
        for op in reversed(self.written):
            rows = [value for value in (*op.inputs, *op.outputs) if id(value) in self.depends]
            alone = all(len(v.shape) == 3 and v.shape[1] == self.row and v.dtype == "f32" for v in rows)
            answer = all(id(v) == asked or all(id(r) in tail for r in readers[id(v)]) for v in op.outputs)
            if PRIMITIVES[op.kind].is_tokenwise(op) and not op.bodies and alone and answer:
                tail.add(id(op))
        return tail

    def _one(self, value: Value) -> Value:
        """The value for one token."""
        return replace_shape(value, self.one(value.shape))

    def one(self, shape: Shape) -> Shape:
        return tuple(put(dim, {str(self.row): 1}) for dim in shape)


SIDES = (("key", 1), ("value", 2))  # of an attention's inputs


@dataclass
class _Made:
    """Operations of a graph that is being made."""

    ops: list[Op] = field(default_factory=list)

    def emit(self, kind: str, *inputs: Value, **attributes: Any) -> Value:
        shape, dtype = PRIMITIVES[kind].infer(*inputs, **attributes)
        value = Value(kind, shape, dtype, inputs[0].scope)
        self.ops.append(Op(kind, "", inputs, (value,), attributes))
        return value


class _Step(_Made):
    """The step as it is made, operation after operation; `now` is each value of the text for the new token."""

    def __init__(self, cut: _Cut) -> None:
        super().__init__()
        self.cut, text = cut, cut.text
        batch, past = text.shape[0], symbol(PAST)
        self.instead = {id(value): _port(name, value) for name, value in cut.handed().items()}
        self.token = replace_shape(text, (batch, 1))
        self.places = Value(f"{text.name}.{PLACES}", (batch, past + 1), "i64", text.scope)
        self.present = Value(f"{text.name}.{PRESENT}", (batch, past + 1), "bool", text.scope)
        self.place = self.emit("slice", self.places, axis=1, start=-1, stop=None).named("place")
        here = self.emit("slice", self.present, axis=1, start=-1, stop=None).named("here")
        self.now = {id(text): self.token} | dict.fromkeys(cut.masks, here)
        self.past: list[Value] = []
        self.outputs: dict[str, Value] = {}

    def run(self, op: Op) -> None:
        if id(op.outputs[0]) not in self.cut.depends:
            self.ops.append(op)
            return
        if op.kind == "token_mask":
            return
        inputs = [self.now.get(id(value), self.instead.get(id(value), value)) for value in op.inputs]
        special = SPECIAL.get(op.kind)
        if special is None or (op.kind == "attention" and id(op.inputs[1]) not in self.cut.depends):
            outputs = tuple(replace_shape(value, self.shape(value, op)) for value in op.outputs)
            self.ops.append(replace(op, inputs=tuple(inputs), outputs=outputs))
        else:
            outputs = (special(self, op, *inputs),)
        self.now |= {id(value): one for value, one in zip(op.outputs, outputs, strict=True)}

    def shape(self, value: Value, op: Op) -> Shape:
        """Of one token; what was one row for all samples is one for each, as their tokens stand at different places."""
        batch = () if value.shape[0] != self.cut.row else (self.cut.text.shape[0],)
        return (*batch, *self.cut.one(value.shape))

    def first_rows(self, op: Op, table: Value, like: Value) -> Value:
        return self.emit("lookup", self.place, table)

    def rotate(self, op: Op, x: Value, *tables: Value) -> Value:
        """[B, 1, d / 2] -> [B, 1, 1, d / 2], the same for all heads."""
        rows = [self.emit("rearrange", t, pattern="b (h n) d -> b h n d", sizes=(("h", 1),)) for t in tables]
        return self.emit("rotate", x, *rows, **op.attributes)

    def distance_bias(self, op: Op, table: Value, buckets: Value, *_: Value) -> Value:
        return self.emit("place_bias", table, buckets, self.place, self.places)

    def insert_tokens(self, op: Op, x: Value, *_: Value) -> Value:
        """What is written is text."""
        return x

    def attention(self, op: Op, query: Value, key: Value, value: Value, mask: Value, *bias: Value) -> Value:
        seen = []
        for (name, _), new in zip(SIDES, (key, value), strict=True):
            batch, heads, _, width = new.shape
            kept = Value(f"past.{op.name}.{name}", (batch, heads, symbol(PAST), width), new.dtype, new.scope)
            self.past.append(kept)
            seen.append(self.emit("concat", kept, new, axis=2).named(name))
            self.outputs[f"present.{op.name}.{name}"] = seen[-1]
        # what is kept stands before the token: what is left to ask is who is present
        return self.emit("attention", query, *seen, self.present, *bias, **{**op.attributes, "causal": False})

    def graph(self) -> Graph:
        flat, cut = self.cut.flat, self.cut
        limit = flat.limits[str(cut.row)]
        limits = {name: size for name, size in flat.limits.items() if name != str(cut.row)} | {PAST: 2 * (limit - 1)}
        inputs = (self.token, self.places, self.present, *flat.inputs, *self.instead.values(), *self.past)
        outputs = {cut.head: self.now[id(flat.outputs[cut.head])], **self.outputs}
        return _graph(flat, "Step", inputs, self.ops, outputs, limits)


SPECIAL: Mapping[str, Callable[..., Value]] = {
    name: getattr(_Step, name) for name in ("first_rows", "rotate", "distance_bias", "insert_tokens", "attention")
}


def _graph(
    flat: Graph, name: str, inputs: Sequence[Value], ops: Sequence[Op], outputs: Mapping[str, Value],
    limits: Mapping[str, int],
) -> Graph:  # fmt: skip
    """What leads to the outputs, as a graph of its own, with the inputs that it reads."""
    leading = _leading_to(ops, outputs.values())
    read = {id(value) for op in leading for value in op.inputs} | set(map(id, outputs.values()))
    inputs = tuple(sorted((value for value in inputs if id(value) in read), key=lambda value: value.optional))
    return replace(
        flat, name=f"{flat.name}{name}", inputs=inputs, ops=owned_once(map(_alone, leading)), outputs=dict(outputs), limits=limits,
        notes=(),
    )  # fmt: skip


def _alone(op: Op) -> Op:
    """The operation with a module of its own again: whose it was may be in another graph."""
    if "shares" not in op.attributes:
        return op
    attributes = {name: said for name, said in op.attributes.items() if name != "shares"}
    parameters: tuple[Parameter, ...] = PRIMITIVES[op.kind].parameters(*op.inputs, **attributes)
    return replace(op, attributes=attributes, parameters=parameters)


def _leading_to(ops: Sequence[Op], values: Iterable[Value]) -> list[Op]:
    needed = set(map(id, values))
    found: list[Op] = []
    for op in reversed(ops):
        if any(id(value) in needed for value in op.outputs):
            needed.update(map(id, op.inputs))
            found.append(op)
    return found[::-1]


def _depending(ops: Iterable[Op], given: Collection[int]) -> set[int]:
    """The values that depend on the given ones, themselves included."""
    found = set(given)
    for op in ops:
        if any(id(value) in found for value in op.inputs):
            found.update(map(id, op.outputs))
    return found


def _port(name: str, value: Value) -> Value:
    return Value(name, value.shape, value.dtype, value.scope)


def replace_shape(value: Value, shape: tuple[Dim, ...]) -> Value:
    return Value(value.name, shape, value.dtype, value.scope, bound=value.bound)
