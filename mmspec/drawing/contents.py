"""The inside of a box: its rows from top to bottom, with the size that each needs.

A box is made of rows; a row is a chip, several lanes of chips side by side, or a stack of rows. Sizes come from the texts, so that
nothing is ever cut except a name longer than anyone reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mmspec.cost.quantities import quantity, share
from mmspec.drawing.diagram import Box
from mmspec.drawing.measure import cut, width
from mmspec.drawing.sublayers import Chip, Lane, Part, Stack

TITLE, SMALL, CHIP = 15.0, 11.5, 12.0  # font sizes
PADDING = 14.0
CHIP_HEIGHT, GAP = 24.0, 5.0
SHEET = 4.0  # how far the sheets behind a stack look out
STACK_PADDING = 8.0
COUNT_WIDTH = 8.0
NAME_MOST = 260.0
HEADER, FOOTER = 40.0, 40.0


@dataclass(frozen=True)
class Rect:
    """A rectangle, in pixels; x to the right, y down."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    def moved(self, x: float, y: float) -> Rect:
        return Rect(self.x + x, self.y + y, self.width, self.height)


@dataclass(frozen=True)
class Placed:
    """A part at its place, relative to the box; `exit` marks the row from which a sample leaves."""

    rect: Rect
    kind: str  # chip, stack, lane, exit
    label: str = ""
    detail: str = ""


def name_of(box: Box) -> str:
    return cut(box.name, NAME_MOST, TITLE, bold=True)


def kind_of(box: Box) -> str:
    return cut(box.kind, NAME_MOST, SMALL, mono=box.role in ("input", "output"))


def figures_of(box: Box, flops: int | None) -> tuple[str, str]:
    """Parameters, on the left of the footer, and the share of the model's FLOPs, on the right."""
    left = ""
    if box.shares:
        left = f"weights of {cut(box.shares, NAME_MOST, SMALL)}"
    elif box.parameters is not None:
        left = f"{quantity(box.parameters)} parameters"
        if box.active is not None and box.active != box.parameters:
            left += f", {quantity(box.active)} active"
        if box.frozen:
            left += ", frozen"
    right = f"{share(box.flops, flops)} of FLOPs" if flops and box.flops is not None else ""
    return left, right


def size(box: Box, flops: int | None) -> tuple[float, float]:
    """Width and height that a box needs."""
    if box.role in ("input", "output"):
        needed = max(width(name_of(box), TITLE, bold=True), width(kind_of(box), SMALL, mono=True))
        return needed + 2 * PADDING, 48.0
    left, right = figures_of(box, flops)
    inner = max(
        width(name_of(box), TITLE, bold=True) + 18 + width(kind_of(box), SMALL),
        width(left, SMALL) + (20 if left and right else 0) + width(right, SMALL),
        max((_width(part) for part in box.parts), default=0.0),
        150.0,
    )
    return inner + 2 * PADDING, HEADER + _height(box.parts) + FOOTER


def place(box: Box, total: float) -> Iterator[Placed]:
    """The parts of a box `total` pixels wide."""
    yield from _place(box.parts, PADDING, HEADER, total - 2 * PADDING)


def _place(parts: tuple[Part, ...], x: float, y: float, inner: float) -> Iterator[Placed]:
    for part in parts:
        height = _height((part,))
        if isinstance(part, Chip):
            yield Placed(Rect(x, y, inner, height), "chip", part.label, part.detail)
        elif isinstance(part, Stack):
            yield Placed(Rect(x, y, inner - 2 * SHEET, height - 2 * SHEET), "stack", f"× {part.count}")
            room = inner - 2 * SHEET - 2 * STACK_PADDING - _count_width(part)
            below = y + STACK_PADDING
            yield from _place(part.parts, x + STACK_PADDING, below, room)
            if part.exit:
                below += _height(part.parts) + (GAP if part.parts else 0)
                yield Placed(Rect(x + STACK_PADDING, below, room, CHIP_HEIGHT), "exit", "exit", part.exit)
        else:
            lane_width = (inner - GAP * (len(part) - 1)) / len(part)
            for i, lane in enumerate(part):
                left = x + i * (lane_width + GAP)
                yield Placed(Rect(left, y, lane_width, CHIP_HEIGHT - 6), "lane", lane.label)
                yield from _place(lane.chips, left, y + CHIP_HEIGHT - 6, lane_width)
        y += height + GAP


def _height(parts: tuple[Part, ...]) -> float:
    heights = []
    for part in parts:
        if isinstance(part, Chip):
            heights.append(CHIP_HEIGHT)
        elif isinstance(part, Stack):
            inner = _height(part.parts) + ((GAP if part.parts else 0) + CHIP_HEIGHT if part.exit else 0)
            heights.append(inner + 2 * STACK_PADDING + 2 * SHEET)
        else:
            heights.append(CHIP_HEIGHT - 6 + max((_height(lane.chips) for lane in part), default=0.0))
    return sum(heights) + GAP * max(0, len(heights) - 1)


def _width(part: Part | Lane) -> float:
    if isinstance(part, Chip):
        detail = width(part.detail, SMALL) + 16 if part.detail else 0.0
        return width(part.label, CHIP) + detail + 20
    if isinstance(part, Stack):
        rows = max((_width(inner) for inner in part.parts), default=0.0)
        rows = max(rows, _width(Chip("exit", part.exit)) if part.exit else 0.0)
        return rows + 2 * STACK_PADDING + 2 * SHEET + _count_width(part)
    if isinstance(part, Lane):
        return max([width(part.label, SMALL, bold=True) + 8, *(_width(chip) for chip in part.chips)])
    return len(part) * max(_width(lane) for lane in part) + GAP * (len(part) - 1)


def _count_width(stack: Stack) -> float:
    """Room on the right of a stack for its count."""
    return width(f"× {stack.count}", TITLE, bold=True) + COUNT_WIDTH
