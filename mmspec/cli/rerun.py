"""`mmspec profile --exact`: the price once more, by running the module, beside the static one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mmspec.cli.table import Column, lines
from mmspec.cost.quantities import quantity

if TYPE_CHECKING:
    from mmspec.backend.exact import Exact
    from mmspec.cli.ink import Ink
    from mmspec.cost import Profile

Function = TypeVar("Function", bound=Callable[..., Any])

COLUMNS = (
    Column("figure"),
    Column("static", right=True),
    Column("run", right=True),
    Column("difference", right=True),
)


def takes_exact(function: Function) -> Function:
    """`--exact`."""
    option = click.option(
        "--exact",
        is_flag=True,
        help="run the module on tensors without numbers, and print what differs from this price",
    )
    return option(function)


@dataclass(frozen=True)
class Rerun:
    """Figures of the price beside those of a run of the module, and of a card's allocator if there is one."""

    shown: Exact
    pairs: tuple[tuple[str, int | None, int], ...]
    card: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """For the profile's JSON, under `exact`."""
        figures = {
            name: {"static": static, "run": found, "difference": None if static is None else static - found}
            for name, static, found in self.pairs
        }
        where = {"operation": self.shown.at, "phase": self.shown.phase}
        return {
            "exact": {
                **figures,
                "losses": self.shown.losses,
                "at": where,
                "uncounted": list(self.shown.uncounted),
                "cuda": self.card,
            }
        }

    def lines(self, ink: Ink) -> list[str]:
        said = [
            (
                name,
                "unknown" if static is None else f"{static:,}",
                f"{found:,}",
                "" if static is None else f"{static - found:+,}" if static != found else "0",
            )
            for name, static, found in self.pairs
        ]
        shown = self.shown
        text = ["", *lines(COLUMNS, said, ink), ""]
        text += ink.wrapped(
            "run: on tensors without numbers; what data decide is decided for the most that it can cost. "
            f"Its memory is at its most in the {shown.phase}, in {shown.at.removesuffix('.default')}"
        )
        if shown.losses:
            text += ink.wrapped(f"the losses' own products take {quantity(shown.losses, 'FLOPs')} more")
        for name in shown.uncounted:
            text += ink.wrapped(f"no formula is known for {name}, which ran: FLOPs are more than is said", "note:")
        card = self.card
        text += ink.wrapped(
            f"CUDA, its allocator simulated: {quantity(card['live'], 'B')} live, {quantity(card['allocated'], 'B')} allocated, "
            f"{quantity(card['reserved'], 'B')} reserved; "
            + (
                f"measured here: {quantity(card['measured']['allocated'], 'B')} allocated, "
                f"{quantity(card['measured']['reserved'], 'B')} reserved"
                if card["measured"]
                else "not verified on a GPU"
            )
        )
        return text


def rerun(price: Profile, train: bool) -> Rerun:
    """Run the priced spec at the price's sizes.   Raises UserError"""
    from mmspec.backend.card import on_card
    from mmspec.backend.exact import exact
    from mmspec.cost import Sizes

    shown = exact(price.spec, Sizes(price.sizes), train, graph=price.graph)
    pairs: list[tuple[str, int | None, int]] = [("forward FLOPs", price["flops.total"], shown.forward)]
    pairs += [("parameters", price["parameters.total"], shown.parameters)]
    if shown.backward is not None:
        known = price["flops.total"] is not None
        pairs += [("backward FLOPs", price.ledger.backward.flops if known else None, shown.backward)]
        pairs += [("peak memory of a step", price["memory.peak_training"], shown.resident + shown.peak)]
    else:
        pairs += [("activations", price["memory.activations"], shown.peak)]
    simulated = shown.cuda()
    measured = on_card(price.spec, Sizes(price.sizes), train, graph=price.graph)
    card = {
        **vars(simulated),
        "measured": None if measured is None else vars(measured),
        "verified": measured is not None,
    }
    return Rerun(shown, tuple(pairs), card)
