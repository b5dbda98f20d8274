"""A price in a file: the format follows the file's ending."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmspec.cli.options import say
from mmspec.errors import UserError
from mmspec.files import write_atomically

if TYPE_CHECKING:
    from mmspec.cli.breakdown import View
    from mmspec.cost import Profile
    from mmspec.cost.timing import Timing


def write(price: Profile, view: View, timing: Timing | None = None, more: Mapping[str, Any] | None = None) -> None:
    """Every file that is asked for, whole or not at all.

    timing   measured; the lower bounds of the price's device without it
    more     what else the JSON says: what was measured

    Raises   UserError: a trace without times; a folder that is not there
    """
    if price.holes and (others := [path for path in view.out if ending_of(path) != ".json"]):
        raise UserError(
            "\n  ".join([f"what has no price can be said in .json only, not in {others[0]}", *map(str, price.holes)])
        )
    texts = [(path, ENDINGS[ending_of(path)](price, view, Beside(timing, more or {}))) for path in view.out]
    for path, text in texts:
        say(f"wrote {write_atomically(path, text)}")


@dataclass(frozen=True)
class Beside:
    timing: Timing | None
    more: Mapping[str, Any]


def ending_of(path: str) -> str:
    """Raises   UserError: no format has this ending"""
    found = next((ending for ending in ENDINGS if path.lower().endswith(ending)), None)
    if found is None:
        raise UserError(f"a price is written to a file that ends in {', '.join(ENDINGS)}, and {path!r} does not")
    return found


def _trace(price: Profile, view: View, beside: Beside) -> str:
    from mmspec.cost.flops import Sizes
    from mmspec.cost.timeline import timeline
    from mmspec.cost.timing import lower_bounds
    from mmspec.cost.trace import trace

    timing = beside.timing
    if timing is None:
        if price.on is None:
            raise UserError("a trace shows times, and a price alone has none: give --device for lower bounds")
        timing = lower_bounds(price.on)
    return trace(price, timing, timeline(price.graph, Sizes(price.sizes)))


def _json(price: Profile, view: View, beside: Beside) -> str:
    from mmspec.cli.entry import json_text

    return json_text({**price.to_dict(view.depth or 1), **beside.more}) + "\n"


def _sheet(price: Profile, view: View, beside: Beside) -> str:
    from mmspec.cost.columns import sheet

    return sheet(view.rows(price), price.ledger.forward.flops)


def _markdown(price: Profile, view: View, beside: Beside) -> str:
    from mmspec.cost.breakdown import total
    from mmspec.cost.columns import markdown

    sizes = ", ".join(f"{name} = {size:,}" for name, size in price.sizes.items())
    table = markdown(view.rows(price), total(price), view.fields(price), view.by)
    return f"### {price.name}\n\n{sizes}\n\n{table}\nFLOPs are 2 per multiply-add; of one pass with all exits.\n"


def _page(price: Profile, view: View, beside: Beside) -> str:
    from mmspec.cli.environment import lines
    from mmspec.drawing.price import render

    return render(price, [next(iter(lines()))])


ENDINGS: Mapping[str, Callable[[Profile, View, Beside], str]] = {  # the longest first
    ".trace.json": _trace,
    ".json": _json,
    ".html": _page,
    ".csv": _sheet,
    ".md": _markdown,
}
