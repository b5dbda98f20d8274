"""What `mmspec search --dry-run` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmspec.cli.ink import Ink
from mmspec.cli.table import Column, lines
from mmspec.study import wording

if TYPE_CHECKING:
    from mmspec.study.survey import Survey


def survey_lines(found: Survey, ink: Ink) -> list[str]:
    text = [f"{ink.bold(found.name)}   {_size(found)} over {found.places} open places; nothing is trained", ""]
    text += ink.wrapped(_feasible(found))
    text += [f"  {each}" for each in _limits(found)]
    text += ["", *_costs(found, ink), "", *_first(found, ink), ""]
    return text + ink.wrapped(_time(found))


def _size(found: Survey) -> str:
    return "more specs than can be counted" if found.size is None else f"{found.size:,} points"


def _feasible(found: Survey) -> str:
    of = f"{found.feasible:,} of {found.priced:,} points"
    if found.interval is None:
        distinct = "" if found.distinct == found.feasible else f", {found.distinct:,} different specs among them"
        return f"{of} may be chosen ({found.share:.1%}{distinct})."
    low, high = found.interval
    return (
        f"{of} that were drawn may be chosen: {found.share:.1%} of the space, between {low:.1%} and {high:.1%} (95 %)."
    )


def _limits(found: Survey) -> list[str]:
    said = [
        f"{name} refuses {b.refused:,}" + (f", {b.alone:,} of them alone" if b.refused else ": it does not bind")
        for name, b in sorted(found.limits.items(), key=lambda item: -item[1].refused)
    ]
    return said + ([f"{found.uncompilable:,} do not compile"] if found.uncompilable else [])


def _costs(found: Survey, ink: Ink) -> list[str]:
    columns = [Column("of what may be chosen"), *(Column(t, right=True) for t in ("smallest", "median", "largest"))]
    rows = [
        (wording.axis(name), *(wording.amount(name, v) if v is not None else "" for v in (c.smallest, c.median, c.largest)))
        for name, c in found.costs.items()
    ]  # fmt: skip
    return lines(columns, rows, ink)


def _first(found: Survey, ink: Ink) -> list[str]:
    names = [name for name in found.costs if all(name in c.figures for c in found.first)]
    columns = [*(Column(wording.axis(name), right=True) for name in names), Column("trained first", give=1)]
    rows = [
        (*(wording.amount(name, c.figures[name]) for name in names), wording.label(c.params, list(c.params)))
        for c in found.first
    ]
    return lines(columns, rows, ink)


def _time(found: Survey) -> str:
    trials = f"{found.trials} trainings"
    if found.seconds is None:
        return f"{trials}; how long one takes is not known before the first."
    if found.training_s is None:
        most = wording.duration(found.seconds)
        return f"{trials}, at most {most} by the budget; how long one takes is not known before the first."
    one = wording.duration(found.training_s)
    return f"{trials} of about {one}, as earlier ones in its folder took: about {wording.duration(found.seconds)}."
