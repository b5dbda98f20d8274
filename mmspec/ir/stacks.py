"""Blocks in a row, and where samples may leave the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mmspec.ir.dims import Shape
from mmspec.ir.graph import Graph, Value
from mmspec.ir.primitives import ShapeError, shape_text
from mmspec.ir.scope import Body, Scope

Readout = Callable[..., Value | tuple[Value, Value]]


class Halting(Protocol):
    """What a stack asks of a halting policy.

    head         the head that is asked at every exit; None for none
    exits        blocks, counted from one, after which a sample may leave; None for all but the last
    own_heads    each earlier exit has a head of its own, like the named one
    criterion    the class of `backend.runtime.criteria` that scores samples, with its arguments and the threshold
    looks        whether the criterion looks at tokens and their mask, and not at the head's answer alone
    unit         a part of the node that says at each exit how likely it is to halt, or None
    budget       the input that says what each sample may cost, or None
    """

    @property
    def head(self) -> str | None: ...
    @property
    def exits(self) -> tuple[int, ...] | None: ...
    @property
    def own_heads(self) -> bool: ...
    @property
    def looks(self) -> bool: ...
    @property
    def unit(self) -> Body | None: ...
    @property
    def budget_input(self) -> str | None: ...
    def criterion(self) -> Mapping[str, Any]: ...
    def check_answer(self, answer: Value) -> None: ...


def stack(
    g: Scope,
    name: str,
    depth: int,
    body: Body | Sequence[Body],
    carried: Value | tuple[Value, ...],
    *shared: Value,
    class_name: str,
    halting: Halting | None = None,
    readout: Readout | None = None,
    taps: Sequence[int] = (),
    narrows: bool = False,
    doc: str = "",
) -> Any:
    """See `Scope.stack`."""
    bodies = [body] * depth if callable(body) else list(body)
    assert len(bodies) == depth
    streams = (carried,) if isinstance(carried, Value) else carried
    shapes: tuple[Shape, ...] = tuple(value.shape for value in streams)
    blocks: list[_Block] = []
    kinds: dict[tuple[Body, tuple[Shape, ...]], int] = {}
    order = []
    for each in bodies:  # a kind is emitted once, and once more for fewer tokens
        number = kinds.setdefault((each, shapes), len(blocks))
        if number == len(blocks):
            blocks.append(_block(g, f"{name}.*.", each, carried, shared, class_name, shapes, narrows))
        order.append(number)
        shapes = blocks[number].shapes
    balance = any(block.scope.balance for block in blocks)
    passed_on = [Value(v.name, shape, v.dtype, g, v.mask) for v, shape in zip(streams, shapes, strict=True)]
    for value in passed_on:
        if value.mask in streams:
            value.mask = passed_on[streams.index(value.mask)]
    losses = next((value.shape for block in blocks for value in block.scope.balance if value.shape), ())
    loss = [Value("balance", losses, "f32", g)] if balance else []
    attributes: dict[str, Any] = {"count": depth, "order": tuple(order), "carried": len(streams), "balance": balance}
    tapped = [Value(f"block_{tap}", v.shape, v.dtype, g, v.mask) for tap in taps for v in streams]
    if taps:
        assert halting is None and isinstance(carried, Value)
        attributes["taps"] = tuple(taps)
    asked = _asked(g, halting, depth, streams, readout) if halting is not None else None
    # what any block reads is handed to all of them, in one order
    wanted = dict.fromkeys((*streams, *(value for block in blocks for value in block.used())))
    graphs = tuple(block.close(tuple(wanted), balance, doc) for block in blocks)
    if asked is None:
        g.append("repeat", name, tuple(wanted), (*passed_on, *tapped, *loss), attributes, bodies=graphs)
    else:
        assert halting is not None
        handed = tuple(dict.fromkeys((*wanted, *asked.seen)))
        unusual = {
            "seen": tuple(map(handed.index, asked.seen)),
            "read": asked.read,
            "taken": None if len(handed) == len(wanted) else len(wanted),
            "whole": tuple(i for i, value in enumerate(handed) if value.shape[:1] != streams[0].shape[:1]),
            "after": halting.exits,
            "returned": asked.returned,
        }
        usual = {"seen": (0,), "read": 1, "taken": None, "whole": (), "after": None, "returned": False}
        attributes |= {key: value for key, value in unusual.items() if value != usual[key]}
        attributes |= {"given": tuple(asked.given), **halting.criterion()}
        found = asked.found(g, halting, len(halting.exits or range(depth - 1)) + 1, streams[0])
        if halting.head is None:
            g.taps |= found
        else:
            g.exits |= found
        outputs = (*passed_on, *found.values(), *loss)
        g.append("stages", name, (*asked.given.values(), *handed), outputs, attributes, bodies=graphs)
    g.balance += loss
    if taps:
        return passed_on[0], *tapped
    return passed_on[0] if isinstance(carried, Value) else tuple(passed_on)


@dataclass
class _Asked:
    """What an exit needs: functions and a budget by keyword; the values that are seen there; how many of them a head reads; whether
    the readout also makes what the stack returns; the head's answer."""

    given: dict[str, Value]
    seen: tuple[Value, ...]
    read: int
    returned: bool
    answer: Value | None

    def found(self, g: Scope, halting: Halting, exits: int, carried: Value) -> dict[str, Value]:
        """The stack's outputs after the carried values, by the names under which they are asked for."""
        owner = f"{halting.head}." if halting.head else ""
        found = {f"{owner}exit": Value("exit", carried.shape[:1], "i64", g)}
        if self.answer is not None and halting.head is not None:
            shape, dtype = self.answer.shape, self.answer.dtype
            found[halting.head] = Value(halting.head, shape, dtype, g)
            found[f"{owner}exits"] = Value("exits", (exits, *shape), dtype, g)
        if "unit" in self.given:
            found[f"{owner}halting"] = Value("halting", (exits, *carried.shape[:1]), "f32", g)
        return found


def _asked(g: Scope, halting: Halting, depth: int, streams: tuple[Value, ...], readout: Readout | None) -> _Asked:
    if readout is None:
        assert len(streams) == 1, "several carried values need a readout"
    given: dict[str, Value] = {}
    view, returned, seen = streams[0], False, streams
    trial = Scope("Readout", g)
    outward: dict[str, Value] = {}
    if readout is not None:
        made = readout(trial, *trial.receive_all(readout, streams))
        returned = isinstance(made, tuple)
        *front, view = made if isinstance(made, tuple) else (made,)
        outward = dict(zip(("tokens",), front, strict=False))
    answer, read = None, 1
    if halting.head is not None:
        head = g.function(halting.head, view)
        assert head.function is not None
        halting.check_answer(next(iter(head.function.outputs.values())))
        read, answer = len(head.function.inputs), next(iter(head.function.outputs.values()))
        given["head"] = head
    masked = view.mask is not None and (read > 1 or halting.looks)
    if readout is None:
        seen = (view, view.mask) if masked else (view,)  # type: ignore[assignment]
    else:
        outward["seen" if returned else "joint"] = view
        if masked:
            outward["mask"] = view.mask  # type: ignore[assignment]
        graph = trial.close(outward, "What is seen at an exit.", None)
        given["readout"] = g.defined("readout", graph)
        seen = trial.handed(graph)
        trial.let_go()
    if halting.own_heads:
        assert answer is not None and given["head"].function is not None
        given["heads"] = g.functions("exit_heads", given["head"].function, len(halting.exits or range(depth - 1)))
    if halting.unit is not None:
        given["unit"] = _unit(g, halting.unit, view)
    if halting.budget_input is not None:
        given["budget"] = g.model_input(halting.budget_input)
    return _Asked(given, seen, read, returned, answer)


def _unit(g: Scope, unit: Body, view: Value) -> Value:
    """The halting unit as a function of what is seen, and of its mask where it has one."""
    inner = Scope("HaltingUnit", g, path=f"{g.path}halting.")
    x = inner.input("x", view.shape, view.dtype)
    if view.mask is not None:
        x.mask = inner.input("mask", view.mask.shape, "bool")
    result = unit(inner, x)
    assert isinstance(result, Value)
    graph = inner.close({"halting": result}, "How likely a sample is to halt here.", None, keep=inner.inputs)
    inner.let_go()
    return g.defined("halting", graph)


@dataclass
class _Block:
    """One kind of a stack's blocks, before it is known what the others are handed."""

    scope: Scope
    outputs: dict[str, Value] = field(default_factory=dict)
    shapes: tuple[Shape, ...] = ()  # of what it carries on

    def used(self) -> tuple[Value, ...]:
        """The outer values that it reads."""
        return self.scope.read(*self.outputs.values())

    def close(self, handed: tuple[Value, ...], balance: bool, doc: str) -> Graph:
        if balance:
            total = (
                self.scope.total_balance() if self.scope.balance else self.scope.emit("zero", *self.scope.inputs[:1])
            )
            self.outputs["balance"] = total.named("balance")
        self.scope.inputs = [self.scope.receive(value) for value in handed]
        graph = self.scope.close(self.outputs, doc, None, keep=self.scope.inputs)
        self.scope.let_go()
        return graph


def _block(
    g: Scope, path: str, body: Body, carried: Value | tuple[Value, ...], shared: tuple[Value, ...], class_name: str,
    shapes: tuple[Shape, ...], narrows: bool,
) -> _Block:  # fmt: skip
    streams, together = ((carried,), 0) if isinstance(carried, Value) else (carried, len(carried))
    inner, handed, returned = g.inside(class_name, path, body, (*streams, *shared), streams=together, shapes=shapes)
    results: tuple[Value, ...] = (returned,) if isinstance(returned, Value) else tuple(returned)  # type: ignore[arg-type]
    after = tuple(result.shape for result in results)
    for before, now in zip(shapes, after, strict=True):
        if before != now and not narrows:
            raise ShapeError(f"a block turns {shape_text(before)} into {shape_text(now)}")
    assert not inner.exits, "a halting stack inside a repeated block"
    return _Block(inner, {value.name: result for value, result in zip(handed, results, strict=False)}, after)


def loop(
    g: Scope,
    name: str,
    steps: int,
    body: Body,
    x: Value,
    *shared: Value,
    class_name: str,
    epsilon: float,
    ponder: float,
    by_token: bool,
) -> Value:
    """See `Scope.loop`."""
    inner, _, results = g.inside(class_name, f"{name}.0.", body, (x, *shared))
    after, chance = results if isinstance(results, tuple) else (results, None)
    assert isinstance(after, Value) and isinstance(chance, Value)
    block = _Block(inner, {"x": after, "chance": chance})
    balance = bool(inner.balance)
    if any(value.shape for value in inner.balance):
        message = "routes that are learned by trying are judged once, and a loop takes one at every step"
        raise ShapeError(message, "router.method", hint="method: gumbel")
    wanted = dict.fromkeys((x, *block.used()))
    if by_token and x.mask is not None:
        wanted |= {x.mask: None}
    graph = block.close(tuple(wanted), balance, "")
    handed = tuple(wanted)
    attributes: dict[str, Any] = {"count": steps, "epsilon": epsilon, "ponder": ponder}
    unusual: dict[str, Any] = {
        "by_token": by_token,
        "mask": handed.index(x.mask) if by_token and x.mask is not None else None,
        "whole": tuple(i for i, value in enumerate(handed) if value.shape[:1] != x.shape[:1]),
        "balance": balance,
    }
    usual = {"by_token": True, "mask": None, "whole": (), "balance": False}
    attributes |= {key: value for key, value in unusual.items() if value != usual[key]}
    result = Value(x.name, x.shape, x.dtype, g, x.mask)
    exit, loss = Value("exit", x.shape[:1], "i64", g), Value("balance", (), "f32", g)
    g.append("loop", name, handed, (result, exit, loss), attributes, bodies=(graph,))
    g.taps["exit"] = exit
    g.balance.append(loss)
    return result
