"""Where a graph is cut that writes a text, and what of it comes before the first step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from mmspec.ir import PRIMITIVES, Graph, Op, Shape, Value
from mmspec.ir.dims import Polynomial, put
from mmspec.passes.parts import Made, depending, part_of, port_of, reshaped

LAST = "last"  # ends the name of the port that says at which token is answered
SIDES = (("key", 1), ("value", 2))  # of an attention's inputs
FULL = ("admit", "next_best", "claim")  # routing to experts that may be full


@dataclass
class Cut:
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
        self.depends = depending(self.ops, own)
        moved = depending(self.ops, {id(v) for v in self.flat.inputs})
        self.written = [op for op in self.ops if id(op.outputs[0]) in self.depends]
        self.about = [op for op in self.ops if id(op.outputs[0]) in moved - self.depends]
        self.fixed = [op for op in self.ops if id(op.outputs[0]) not in moved]
        self.masks = {id(op.outputs[0]) for op in self.written if op.kind == "token_mask"}

    def refusal(self, op: Op) -> str:
        """Why an operation on the text cannot go on from what was kept; empty where it can."""
        own = [id(value) in self.depends for value in op.inputs]
        match op.kind:
            case "token_mask":
                return ""
            case "first_rows":
                return "" if op.outputs[0].shape[0] == self.row else "it gives places to what is no row of its tokens"
            case "insert_tokens":
                return "" if own == [True, False, True] else "what is put into the text depends on the text itself"
            case "rotate":
                return "it has tokens at its front that stand nowhere" if op.attributes["first"] else ""
            case "distance_bias":
                inside = op.outputs[0].shape[1:] == (self.row, self.row)
                return "" if inside else "its distances are those between a text and something else"
            case "attention" if own[:3] == [True, False, False]:
                return "a bias of its attention depends on the text" if op.attributes["biased"] else ""
            case "attention":
                return self._attention_refusal(op)
            case "stages" | "loop":
                return (
                    "a token that leaves early has no keys and values in the blocks after it, for later tokens to see"
                )
        if op.kind in FULL:
            return "whether its experts have room for a token depends on those before it, and they are not kept"
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
            return (
                "its first tokens see one another both ways, so that their keys and values change as the text goes on"
            )
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
        return part_of(self.flat, "Encoder", self.flat.inputs, [*self.fixed, *self.about], handed, self.flat.limits)

    def prefill(self) -> Graph:
        """The beginning in full, but for what only the answer needs: that is computed at one token."""
        instead = {id(value): port_of(name, value) for name, value in self.handed().items()}
        last = Value(f"{self.text.name}.{LAST}", (self.text.shape[0], 1), "i64", self.text.scope)
        tail = self._tail()
        picked: dict[int, Value] = {}
        made = Made()
        for op in self.in_order():
            read = [instead.get(id(value), value) for value in op.inputs]
            given = op.outputs
            if id(op) in tail:
                for value in op.inputs:
                    if id(value) in self.depends and id(value) not in picked:
                        picked[id(value)] = made.emit("picked", value, last)
                read = [picked.get(id(value), other) for value, other in zip(op.inputs, read, strict=True)]
                given = tuple(reshaped(value, self.one(value.shape)) for value in op.outputs)
                picked |= {id(value): one for value, one in zip(op.outputs, given, strict=True)}
            made.ops.append(replace(op, inputs=tuple(read), outputs=given))
        outputs = {self.head: picked[id(self.flat.outputs[self.head])]} | {
            f"present.{op.name}.{name}": op.inputs[place] for op in self.itself() for name, place in SIDES
        }
        inputs = (*self.flat.inputs, last, *instead.values())
        return part_of(self.flat, "Prefill", inputs, made.ops, outputs, self.flat.limits)

    def in_order(self) -> Iterator[Op]:
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

    def one(self, shape: Shape) -> Shape:
        """The shape for one token."""
        return tuple(put(dim, {str(self.row): 1}) for dim in shape)
