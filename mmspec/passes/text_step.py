"""One token more of a text: every operation on its row, for the newest token and what was kept of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from mmspec.ir import Graph, Op, Shape, Value, symbol
from mmspec.passes.parts import Made, part_of, port_of, reshaped
from mmspec.passes.text_cut import SIDES, Cut

PAST = "P"  # the symbol of how many tokens are kept
PLACES, PRESENT = "places", "present"  # end the names of the ports that say where tokens stand, and which are there


def step_of(cut: Cut) -> Graph:
    """One token, by the same operations where they look at one token, and from what was kept where they look at others."""
    step = _Step(cut)
    for op in cut.in_order():
        step.run(op)
    return step.graph()


class _Step(Made):
    """The step as it is made, operation after operation; `now` is each value of the text for the new token."""

    def __init__(self, cut: Cut) -> None:
        super().__init__()
        self.cut, text = cut, cut.text
        batch, past = text.shape[0], symbol(PAST)
        self.instead = {id(value): port_of(name, value) for name, value in cut.handed().items()}
        self.token = reshaped(text, (batch, 1))
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
            outputs = tuple(reshaped(value, self.shape(value, op)) for value in op.outputs)
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
        return part_of(flat, "Step", inputs, self.ops, outputs, limits)


SPECIAL: Mapping[str, Callable[..., Value]] = {
    name: getattr(_Step, name) for name in ("first_rows", "rotate", "distance_bias", "insert_tokens", "attention")
}
