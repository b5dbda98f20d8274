"""The bill in rows: as a tree to any depth, or added up by role, modality, stage, kind of operation or class of product."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add
from typing import TYPE_CHECKING, Any, TypeVar

from mmspec.cost.flops import Sizes
from mmspec.cost.ledger import Entry
from mmspec.cost.routing import WEIGHT_BYTES
from mmspec.cost.timeline import timeline
from mmspec.cost.work import FAMILIES, NOTHING, NUMBERS, Work
from mmspec.errors import UserError
from mmspec.spec.diagnostics import did_you_mean, listing

if TYPE_CHECKING:
    from mmspec.cost.profile import Profile

Kind = TypeVar("Kind")
OTHER = "other"  # the class of operations without products


@dataclass(frozen=True)
class Row:
    """A line of the bill or the sum of several, for one pass of the whole model.

    label       what a table says: the last part of a path, or the group's name
    level       in a tree, how deep: nodes are 1
    times       how often it runs in one run of the row around it
    parameters  of all copies; forward, backward: of all runs
    line        the entry of a tree's row
    seconds     of all runs, each operation at its roof on the price's device, one after another; None without one
    """

    label: str
    level: int
    times: int
    parameters: int
    forward: Work
    backward: Work
    line: Entry | None = None
    seconds: float | None = None


def tree(price: Profile, depth: int, sort: str = "") -> list[Row]:
    """Nodes in the order of the data flow, and inside them scopes and operations, down to `depth`; with `sort`, the largest of that
    figure first. What neither computes nor moves nor holds anything (views) has no row."""
    order = {node.name: index for index, node in enumerate(price.spec.nodes)}
    top = sorted(bill_of(price).children, key=lambda line: order.get(line.path, -1))
    return list(_rows(top, depth, _key(sort), _clock(price), 1, 1, 1))


def grouped(price: Profile, by: str, sort: str = "") -> list[Row]:
    """A row for each group, in order of appearance or by a figure; operations are added up.

    Raises   UserError: there is no such grouping, or no such figure
    """
    named(GROUPINGS, by, "a grouping")
    key = _key(sort)
    return _sorted(_grouped(price, bill_of(price), [by], _clock(price))[by], key)


def bill_of(price: Profile) -> Entry:
    """The ledger whose bytes a table shows: those of the device's precision where one was named, of float32 else."""
    return price.on.bill if price.on else price.ledger


def groups(price: Profile) -> dict[str, dict[str, Any]]:
    """Every grouping but that by node, as plain data."""
    found = _grouped(price, price.ledger, [by for by in GROUPINGS if by != "node"])
    return {by: {row.label: figures(row) for row in rows} for by, rows in found.items()}


def _grouped(price: Profile, bill: Entry, wanted: Sequence[str], clock: Clock | None = None) -> dict[str, list[Row]]:
    """Several groupings in one walk."""
    sums: dict[str, dict[str, list[int]]] = {by: {} for by in wanted}
    seconds: dict[tuple[str, str], float] = {}
    for node in bill.children:
        for line, runs, copies, stage in _operations(node):
            numbers = [runs * number for number in (*NUMBERS(line.forward), *NUMBERS(line.backward))]
            numbers.append(copies * line.parameters)
            for by in wanted:
                label = GROUPINGS[by](line, stage)
                before = sums[by].get(label)
                sums[by][label] = numbers if before is None else list(map(add, before, numbers))
                if clock:
                    seconds[by, label] = seconds.get((by, label), 0.0) + runs * clock(line)
    half = len(NUMBERS(NOTHING))
    return {
        by: _in_order(price, by, [
            Row(
                label, 1, 1, numbers[-1], Work(*numbers[:half]), Work(*numbers[half:-1]), seconds=seconds.get((by, label))
            )
            for label, numbers in found.items() if any(numbers)
        ])
        for by, found in sums.items()
    }  # fmt: skip


def _in_order(price: Profile, by: str, rows: list[Row]) -> list[Row]:
    """Of the data flow, where a grouping has none of its own."""
    if by in ("node", "role"):  # a head that others ask is defined before them
        names = [node.name if by == "node" else node.path.partition(".")[0] for node in price.spec.nodes]
        rows.sort(key=lambda row: names.index(row.label) if row.label in names else -1)
    if by == "modality":
        inputs = list(price.spec.inputs)
        rows.sort(
            key=lambda row: (
                row.label.count("+"),
                [inputs.index(name) for name in row.label.split("+") if name in inputs],
            )
        )
    if by == "class":
        rows.sort(key=lambda row: (*FAMILIES, OTHER).index(row.label))
    return rows


def total(price: Profile) -> Row:
    line, clock = bill_of(price), _clock(price)
    return Row("total", 0, 1, line.parameters, line.forward, line.backward, seconds=clock(line) if clock else None)


def nodes(price: Profile, depth: int = 1) -> list[dict[str, Any]]:
    """The nodes of a profile as plain data, with what is inside them as `children`, down to `depth` (1: the nodes alone)."""
    lines = {line.path: line for line in price.ledger.children}
    peaks = timeline(price.graph, Sizes(price.sizes)).peaks()
    found = []
    for node in price.nodes:
        line = lines[node.name]
        memory = {"weights": WEIGHT_BYTES * node.parameters, "activations": peaks.get(node.name, 0)}
        work = {
            "modality": line.modality,
            **_work(line.forward * line.times, line.backward * line.times),
            "memory": memory,
        }
        found.append({**node.to_dict(), **work, **_children(line, depth - 1, line.times, line.copies)})
    return found


def figures(row: Row) -> dict[str, Any]:
    """A row's figures as plain data."""
    return {"parameters": row.parameters, "flops": row.forward.flops, **_work(row.forward, row.backward)}


def named(known: Mapping[str, Kind], name: str, what: str) -> Kind:
    """What goes by a name.   Raises UserError, with the nearest names."""
    if name in known:
        return known[name]
    raise UserError(f"{name!r} is not {what}{did_you_mean(name, known) or ';'} there are: {listing(known)}")


Grouping = Callable[[Entry, str], str]
GROUPINGS: Mapping[str, Grouping] = {  # of an operation and the stage it is in
    "node": lambda line, stage: stage.partition(".")[0],
    "role": lambda line, stage: line.role,
    "modality": lambda line, stage: line.modality or "none",
    "stage": lambda line, stage: stage,
    "kind": lambda line, stage: line.kind,
    "class": lambda line, stage: family(line),
}


def _of_forward(name: str) -> Callable[[Row], int]:
    return lambda row: int(getattr(row.forward, name))


Clock = Callable[[Entry], float]  # seconds of a line, all its runs in one of its parent

FIGURES: Mapping[str, Callable[[Row], float]] = {
    "parameters": lambda row: row.parameters,
    "flops": lambda row: row.forward.flops,
    "macs": lambda row: row.forward.macs,
    **{name: _of_forward(name) for name in (*FAMILIES, "pointwise", "read", "written")},
    "bytes": lambda row: row.forward.bytes,
    "intensity": lambda row: row.forward.intensity or 0.0,
    "backward": lambda row: row.backward.flops,
    "time": lambda row: row.seconds or 0.0,
}


def family(line: Entry) -> str:
    """The class of an operation: of its products; "other" where it has none."""
    return next((name for name in FAMILIES if getattr(line.forward, name)), OTHER)


def _operations(node: Entry) -> Iterator[tuple[Entry, int, int, str]]:
    """Each operation of a node, with how often it runs, how many copies there are of it, and its stage: a scope directly in the
    node, blocks of a stack whose exits have heads of their own, or the node for all else."""
    for line, runs, copies, place in _walk(node, 1, 1, ()):
        if line.op is not None:
            inner = [each for each in place[1:] if each.op is None]
            stage = next((each.path for each in inner if each.kind != "stages"), node.path)
            yield line, runs, copies, stage


def _walk(
    line: Entry, runs: int, copies: int, place: tuple[Entry, ...]
) -> Iterator[tuple[Entry, int, int, tuple[Entry, ...]]]:
    runs, copies, place = runs * line.times, copies * line.copies, (*place, line)
    yield line, runs, copies, place
    for child in line.children:
        yield from _walk(child, runs, copies, place)


def _rows(
    lines: Sequence[Entry],
    depth: int,
    key: Callable[[Row], float] | None,
    clock: Clock | None,
    level: int,
    runs: int,
    copies: int,
) -> Iterator[Row]:
    rows = [_row(line, level, runs, copies, clock) for line in lines]
    for row in _sorted([row for row in rows if row.parameters or row.forward != NOTHING], key):
        yield row
        if level < depth and row.line is not None:
            inside = row.line.children
            yield from _rows(inside, depth, key, clock, level + 1, runs * row.line.times, copies * row.line.copies)


def _row(line: Entry, level: int, runs: int, copies: int, clock: Clock | None = None) -> Row:
    each = runs * line.times
    parameters = copies * line.copies * line.parameters
    seconds = runs * clock(line) if clock else None
    return Row(
        line.path.rpartition(".")[2], level, line.times, parameters, line.forward * each, line.backward * each, line, seconds
    )  # fmt: skip


def _children(line: Entry, depth: int, runs: int, copies: int) -> dict[str, list[dict[str, Any]]]:
    """Of all runs and copies, as the node's own figures are."""
    if depth < 1:
        return {}
    rows = [_row(child, 1, runs, copies) for child in line.children]
    return {
        "children": [
            {
                "path": child.path, "kind": child.kind, "times": child.times, "output": list(child.shape), "dtype": child.dtype,
                **figures(row), **_children(child, depth - 1, runs * child.times, copies * child.copies),
            }
            for row in rows
            if (child := row.line) is not None and (row.parameters or row.forward != NOTHING)
        ]
    }  # fmt: skip


def _work(forward: Work, backward: Work) -> dict[str, Any]:
    return {"forward": forward.to_dict(), "backward": backward.to_dict()}


def _clock(price: Profile) -> Clock | None:
    if price.on is None:
        return None
    from mmspec.cost.timing import lower_bounds

    return lower_bounds(price.on).seconds


def _key(sort: str) -> Callable[[Row], float] | None:
    return named(FIGURES, sort, "a figure to sort by") if sort else None


def _sorted(rows: list[Row], key: Callable[[Row], float] | None) -> list[Row]:
    return sorted(rows, key=lambda row: -key(row)) if key else rows
