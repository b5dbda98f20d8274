"""Where everything stands: layers from left to right, few crossings, straight edges where there is room (Sugiyama et al. 1981).

Layer by longest path; an edge over several layers gets a place in each; order by barycentres, kept where it has the fewest
crossings; heights by least squares under "no closer than".  All boxes of a layer are equally wide, so that edges bend only between
layers, where there is nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from mmspec.drawing.contents import SMALL, Rect, place, size
from mmspec.drawing.diagram import Diagram, Edge
from mmspec.drawing.measure import width

MARGIN = 28.0
BETWEEN = 30.0  # pixels between the boxes of a layer
BEND = 56.0  # pixels between layers in which edges bend
PORTS = 26.0  # pixels between two ports of a box
ROUNDS = 24


@dataclass
class Slot:
    """A box, or the place where an edge passes through a layer."""

    key: str
    layer: int
    height: float
    y: float = 0.0  # of its middle
    exits: list[Slot] = field(default_factory=list)  # where its early exits go next


@dataclass(frozen=True)
class Route:
    """An edge as the points where it enters and leaves layers, from left to right."""

    edge: Edge
    points: tuple[tuple[float, float], ...]
    label: tuple[float, float] | None  # where its text begins, on the line


@dataclass
class Layout:
    width: float
    height: float
    boxes: dict[str, Rect]
    routes: list[Route] = field(default_factory=list)


def layout(drawn: Diagram, top: float = 0.0) -> Layout:
    """Places for all boxes and edges, below `top`."""
    layers = _layers(drawn)
    columns, chains = _slots(drawn, layers)
    _order(columns, chains)
    _heights(columns, chains)
    sizes = {key: size(box, drawn.flops) for key, box in drawn.boxes.items()}
    left, edges_x = MARGIN, []
    gaps = _gaps(drawn, layers, len(columns))
    for index, column in enumerate(columns):
        wide = max((sizes[slot.key][0] for slot in column if slot.key in sizes), default=0.0)
        edges_x.append((left, left + wide))
        left += wide + gaps[index]
    highest = min(slot.y - slot.height / 2 for column in columns for slot in column)
    shift = top - highest
    boxes: dict[str, Rect] = {}
    for (x, right), column in zip(edges_x, columns, strict=True):
        for slot in column:
            slot.y += shift
            if slot.key in sizes:
                boxes[slot.key] = _rect(drawn.boxes[slot.key].role, x, right, slot, sizes[slot.key][0])
    ordered = {key: boxes[key] for key in drawn.boxes}
    found = Layout(0.0, 0.0, ordered)
    found.routes = _routes(drawn, columns, chains, edges_x, ordered)
    found.width = max(rect.right for rect in ordered.values()) + MARGIN
    bottoms = [slot.y + slot.height / 2 for column in columns for slot in column]
    found.height = max(bottoms) + MARGIN
    return found


def _rect(role: str, left: float, right: float, slot: Slot, wide: float) -> Rect:
    """Nodes fill their layer; an input stands at its right side, an output at its left."""
    if role == "input":
        left = right - wide
    elif role == "output":
        right = left + wide
    return Rect(left, slot.y - slot.height / 2, right - left, slot.height)


def _layers(drawn: Diagram) -> dict[str, int]:
    """Longest path from the left; inputs stand beside what reads them first, outputs beside what gives them."""
    into: dict[str, set[str]] = defaultdict(set)
    out: dict[str, set[str]] = defaultdict(set)
    for edge in drawn.edges:
        into[edge.target].add(edge.source)
        out[edge.source].add(edge.target)
    known: dict[str, int] = {}

    def depth(key: str) -> int:
        if key not in known:
            known[key] = 1 + max((depth(source) for source in into[key]), default=-1)
        return known[key]

    for key in drawn.boxes:
        depth(key)
    for key, box in drawn.boxes.items():
        if box.role == "input" and out[key]:
            known[key] = min(known[target] for target in out[key]) - 1
    return known


def _slots(drawn: Diagram, layers: dict[str, int]) -> tuple[list[list[Slot]], list[list[Slot]]]:
    """The layers' slots, and for each edge the slots that it visits."""
    sizes = {key: size(box, drawn.flops) for key, box in drawn.boxes.items()}
    slots = {key: Slot(key, layer, sizes[key][1]) for key, layer in layers.items()}
    columns: list[list[Slot]] = [[] for _ in range(max(layers.values(), default=0) + 1)]
    for key in drawn.boxes:
        columns[layers[key]].append(slots[key])
    chains = []
    for number, edge in enumerate(drawn.edges):
        chain = [slots[edge.source]]
        for layer in range(layers[edge.source] + 1, layers[edge.target]):
            chain.append(Slot(f"edge {number}", layer, 22.0))
            columns[layer].append(chain[-1])
        chains.append([*chain, slots[edge.target]])
        if edge.dashed:
            chain[0].exits.append(chains[-1][1])
    return columns, chains


def _neighbours(chains: list[list[Slot]]) -> tuple[dict[int, list[Slot]], dict[int, list[Slot]]]:
    before: dict[int, list[Slot]] = defaultdict(list)
    after: dict[int, list[Slot]] = defaultdict(list)
    for chain in chains:
        for a, b in pairwise(chain):
            after[id(a)].append(b)
            before[id(b)].append(a)
    return before, after


def _order(columns: list[list[Slot]], chains: list[list[Slot]]) -> None:
    """Sort each layer by the mean place of its neighbours, to and fro; the order with the fewest crossings stays."""
    before, after = _neighbours(chains)
    best = [list(column) for column in columns]
    fewest = _crossings(columns, after)
    for round_ in range(ROUNDS):
        forth = round_ % 2 == 0
        for column in columns if forth else reversed(columns):
            rank = {id(slot): i for other in columns for i, slot in enumerate(other)}
            near = before if forth else after
            means = {
                id(slot): sum(rank[id(n)] for n in near[id(slot)]) / len(near[id(slot)])
                if near[id(slot)]
                else rank[id(slot)]
                for slot in column
            }
            column.sort(key=lambda slot: means[id(slot)])
        _transpose(columns, after)
        crossings = _crossings(columns, after)
        if crossings < fewest:
            fewest, best = crossings, [list(column) for column in columns]
    for column, kept in zip(columns, best, strict=True):
        column[:] = kept


def _transpose(columns: list[list[Slot]], after: dict[int, list[Slot]]) -> None:
    """Swap neighbours of a layer while that saves a crossing."""
    for column in columns:
        for i in range(len(column) - 1):
            now = _crossings(columns, after)
            column[i], column[i + 1] = column[i + 1], column[i]
            if _crossings(columns, after) >= now:
                column[i], column[i + 1] = column[i + 1], column[i]


def _crossings(columns: list[list[Slot]], after: dict[int, list[Slot]]) -> int:
    count = 0
    for left, right in pairwise(columns):
        rank = {id(slot): i for i, slot in enumerate(right)}
        lines = [(i, rank[id(b)]) for i, a in enumerate(left) for b in after[id(a)]]
        count += sum(a[0] < b[0] and a[1] > b[1] for a in lines for b in lines)
        for a in left:  # exits leave below everything else
            exits = [rank[id(b)] for b in a.exits]
            count += sum(rank[id(b)] > place for b in after[id(a)] for place in exits)
    return count


def _heights(columns: list[list[Slot]], chains: list[list[Slot]]) -> None:
    """Each slot as near to the mean of its neighbours as the others of its layer let it."""
    before, after = _neighbours(chains)
    for column in columns:
        _pack(column, [0.0] * len(column))
    both = {id(slot): before[id(slot)] + after[id(slot)] for column in columns for slot in column}
    sweeps = [(columns, both), (columns[::-1], both)] * ROUNDS
    for sweep, near in [*sweeps, (columns[::-1], after), (columns, before)]:  # the last two draw lines straight
        for column in sweep:
            middles = [[other.y for other in near[id(slot)]] or [slot.y] for slot in column]
            _pack(column, [sum(ys) / len(ys) for ys in middles])


def _pack(column: list[Slot], wanted: list[float]) -> None:
    """The places nearest to `wanted`, in this order and no closer than allowed: pool adjacent violators."""
    offsets, total = [], 0.0
    for i, slot in enumerate(column):
        if i:
            total += (column[i - 1].height + slot.height) / 2 + BETWEEN
        offsets.append(total)
    pools: list[list[float]] = []  # sum, count
    for want, offset in zip(wanted, offsets, strict=True):
        pools.append([want - offset, 1.0])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            last = pools.pop()
            pools[-1][0] += last[0]
            pools[-1][1] += last[1]
    levels = [pool[0] / pool[1] for pool in pools for _ in range(int(pool[1]))]
    for slot, level, offset in zip(column, levels, offsets, strict=True):
        slot.y = level + offset


def _gaps(drawn: Diagram, layers: dict[str, int], count: int) -> list[float]:
    """The room after each layer: for the widest label there, and for the bends."""
    labels = [0.0] * count
    for edge in drawn.edges:
        if _labelled(edge, drawn):
            labels[layers[edge.source]] = max(labels[layers[edge.source]], width(edge.label, SMALL, mono=True) + 12)
    return [label + BEND for label in labels]


def _labelled(edge: Edge, drawn: Diagram) -> bool:
    """Inputs say their shape themselves, and so do outputs."""
    return "input" not in drawn.boxes[edge.source].role and drawn.boxes[edge.target].role != "output"


def _routes(
    drawn: Diagram,
    columns: list[list[Slot]],
    chains: list[list[Slot]],
    edges_x: list[tuple[float, float]],
    boxes: dict[str, Rect],
) -> list[Route]:
    """Points of every edge. What leaves a box from the same port leaves at the same height, with one label."""
    ports: dict[tuple[str, str], list[int]] = defaultdict(list)
    entries: dict[str, list[int]] = defaultdict(list)
    for number, edge in enumerate(drawn.edges):
        ports[edge.source, edge.port].append(number)
        entries[edge.target].append(number)
    leave: dict[tuple[str, str], float] = {}
    for key, rect in boxes.items():
        mine = [port for port in ports if port[0] == key]
        free = [port for port in mine if port[1] != "exit"]
        free.sort(key=lambda port: sum(chains[n][1].y for n in ports[port]) / len(ports[port]))
        for port, y in zip(free, _spread(rect, len(free)), strict=True):
            leave[port] = y
        for port in mine:
            if port[1] == "exit":
                row = [part.rect for part in place(drawn.boxes[key], rect.width) if part.kind == "exit"]
                leave[port] = rect.y + row[0].middle if row else rect.bottom - 14
    _part_ports(leave)
    enter: dict[int, float] = {}
    for key, numbers in entries.items():
        numbers.sort(key=lambda n: (chains[n][-2].y, leave[drawn.edges[n].source, drawn.edges[n].port]))
        full = [number for number in numbers if not drawn.edges[number].dashed]
        for number, y in zip(full, _spread(boxes[key], len(full)), strict=True):
            enter[number] = y
        lowest = max((enter[number] for number in full), default=boxes[key].middle)
        for i, number in enumerate(number for number in numbers if drawn.edges[number].dashed):
            enter[number] = lowest + PORTS * (i + 1)
    routes = []
    labelled: set[tuple[str, str]] = set()
    for number, edge in enumerate(drawn.edges):
        chain, port = chains[number], (edge.source, edge.port)
        points = [(edges_x[chain[0].layer][1], leave[port])]
        for slot in chain[1:-1]:
            x, right = edges_x[slot.layer]
            points += [(x, slot.y), (right, slot.y)]
        points.append((edges_x[chain[-1].layer][0], enter[number]))
        shown = _labelled(edge, drawn) and port not in labelled
        labelled |= {port} if shown else set()
        routes.append(Route(edge, tuple(points), (points[0][0] + 7, points[0][1]) if shown else None))
    return routes


def _spread(rect: Rect, count: int) -> list[float]:
    """Heights for `count` ports around the middle of a side."""
    step = min(PORTS, (rect.height - 16) / max(count, 1))
    return [rect.middle + step * (i - (count - 1) / 2) for i in range(count)]


def _part_ports(leave: dict[tuple[str, str], float]) -> None:
    """Move an exit's port away from an ordinary one at the same height."""
    for port, y in leave.items():
        if port[1] != "exit":
            continue
        for other, height in leave.items():
            if other[0] == port[0] and other != port and abs(height - y) < PORTS:
                leave[other] = y - PORTS if height <= y else y + PORTS
