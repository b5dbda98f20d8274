"""Tables of places for other sizes: what a model learned on one grid, asked for on another.

grid     [first + H W, D]: the first rows (class tokens) stay, the rest is interpolated bicubically as an image of D channels
         (An Image Is Worth 16x16 Words, arXiv:2010.11929, sec. 3.2)
window   [(2H - 1)(2W - 1), heads]: biases by offset, likewise (Swin Transformer V2, arXiv:2111.09883, sec. 3.1)
rows     [N, D]: the first rows; more than there are cannot be had
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

from torch import Tensor, cat
from torch.nn.functional import interpolate

from mmspec.weights.operations import Misfit


def grid(table: Tensor, first: int, ours: Sequence[int], theirs: Sequence[int] | None = None) -> Tensor:
    """[first + prod(theirs), D] -> [first + prod(ours), D]. `theirs` is a square unless it is said.

    Raises   Misfit: the table is no such grid.
    """
    places = table.shape[0] - first
    sides = tuple(theirs or (isqrt(max(places, 0)),) * 2)
    if table.dim() != 2 or len(sides) != 2 or sides[0] * sides[1] != places:
        beside = f" beside {first} for other tokens" if first else ""
        found = (
            f"not a grid of {' x '.join(map(str, sides))}" if theirs else "no square; `grid: [rows, columns]` says what"
        )
        raise Misfit(f"its {places} places{beside} are {found}")
    image = table[first:].T.reshape(1, table.shape[1], *sides)
    wider = interpolate(image.float(), size=tuple(ours), mode="bicubic", align_corners=False)
    return cat([table[:first], wider.flatten(2)[0].T.to(table.dtype)])


def rows(table: Tensor, count: int) -> Tensor:
    """The first rows.   Raises   Misfit: there are fewer."""
    if table.shape[0] < count:
        raise Misfit(f"it has places for {table.shape[0]} tokens, and the spec asks for {count}")
    return table[:count]
