"""The report: one HTML file that opens offline, with nothing fetched and nothing to install."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Any

from mmspec.cost.limits import parse_limit
from mmspec.study import course, figure, wording
from mmspec.study.caveats import caveats, unlearned
from mmspec.study.importance import LEAST, importance
from mmspec.study.result import Front, Trained


@dataclass(frozen=True)
class Background:
    """What the page quotes beside the front itself."""

    study: str  # the study file, as it was read
    baseline: Mapping[str, Any] = field(default_factory=dict)  # the parameters' defaults: cards show what differs
    environment: Mapping[str, str] = field(default_factory=dict)  # versions, seed
    limits: Sequence[str] = ()  # of the study


def render(front: Front, background: Background) -> str:
    """The whole page as text. All of the user's words are escaped."""
    home = files("mmspec.study")
    sections = (
        _head(front),
        _cards(front, background.limits),
        _warning(front),
        _figure(front, background),
        _members(front),
        _trust(front),
        _knee(front),
        _importance(front),
        _course(front),
        _all(front),
        f"<details><summary>The study</summary><pre>{escape(background.study.strip())}</pre></details>",
        _foot(background),
    )
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(front.name)}</title><style>{home.joinpath('report.css').read_text('utf-8')}</style></head><body><main>",
            *sections,
            f"</main><script>{home.joinpath('report.js').read_text('utf-8')}</script></body></html>",
            "",
        )
    )


def _head(front: Front) -> str:
    goals = [[escape(wording.axis(o.name)) for o in front.objectives if o.maximize is up] for up in (True, False)]
    goal = " for ".join(
        f"the {word} {' and '.join(names)}" for word, names in zip(("most", "least"), goals, strict=True) if names
    )
    refused, failed = sum(front.refused.values()), sum(front.failed.values())
    counted = [f"{len(front.trained)} networks trained in {wording.duration(sum(t.seconds for t in front.trained))}"]
    counted += [f"{refused} refused before training"] if refused else []
    counted += [f"{failed} could not be trained"] if failed else []
    counted += [f"{front.repeated} answered from the store"] if front.repeated else []
    why = "".join(f"<br>{n} &times; {escape(reason)}" for reason, n in {**front.refused, **front.failed}.items())
    return f'<h1>{escape(front.name)}</h1><p class="lead">Sought: {goal}. {"; ".join(counted)}.</p>' + (
        f'<p class="note">Not trained:{why}</p>' if why else ""
    )


def _cards(front: Front, limits: Sequence[str]) -> str:
    x, y = front.horizontal, front.vertical
    cards = [_card_of(front, front.knee, "the knee", "knee")]
    able = [i for i, m in enumerate(front.members) if _keeps(m, limits)]
    if able:
        best = min(able, key=lambda i: y.cost(front.members[i].values[y.name]))
        most = f"{'most' if y.maximize else 'least'} {wording.axis(y.name)}"
        cards.append(_card_of(front, best, f"best under the limits ({', '.join(limits)})" if limits else most))
        cards += _halves(front, best, able)
    cards.append(_card_of(front, 0, f"{'most' if x.maximize else 'least'} {wording.axis(x.name)}"))
    if front.hypervolume is not None:
        corner = ", ".join(wording.amount(o.name, r) for o, r in zip(front.objectives, front.reference, strict=True))
        cards.append((f"{front.hypervolume:.3f}", f"hypervolume, up to the reference {escape(corner)}", ""))
    return '<div class="cards">' + "".join(
        f'<div class="card {kind}"><b>{head}</b><span>{text}</span></div>' for head, text, kind in cards
    ) + "</div>"  # fmt: skip


def _keeps(m: Trained, limits: Sequence[str]) -> bool:
    """What is in no price (a latency) was measured and refused before training."""
    known = {**m.figures, **m.values}
    parsed = [parse_limit(text) for text in limits]
    return all(limit.violation(known[limit.figure]) <= 0 for limit in parsed if limit.figure in known)


def _halves(front: Front, best: int, members: Sequence[int]) -> list[tuple[str, str, str]]:
    """For each cost, the best of the members that have at most half of the best one's."""
    cards, y = [], front.vertical
    for cost in (o for o in front.objectives if not o.maximize and o != y):
        half = front.members[best].values[cost.name] / 2
        able = [i for i in members if front.members[i].values[cost.name] <= half]
        if able:
            chosen = min(able, key=lambda i: y.cost(front.members[i].values[y.name]))
            cards.append(_card_of(front, chosen, f"best at no more than half of its {wording.axis(cost.name)}"))
    return cards


def _card_of(front: Front, i: int, role: str, kind: str = "") -> tuple[str, str, str]:
    x, y = front.horizontal.name, front.vertical.name
    values = front.members[i].values
    head = f"{wording.amount(y, values[y])} <small>at {wording.amount(x, values[x])}</small>"
    return head, f"member {i}: {escape(role)}", kind


def _warning(front: Front) -> str:
    if not (stuck := unlearned(front)):
        return ""
    which = f"Member {stuck[0]} is" if len(stuck) == 1 else f"Members {', '.join(map(str, stuck))} are"
    return f'<p class="warn">{which} not above what a single modality can reach: nothing was learned from the other one.</p>'


def _figure(front: Front, background: Background) -> str:
    templates = "".join(_card(t, front, background) for t in front.trained)
    legend = "".join(
        f'<span><i style="background:var(--{colour})"></i>{text}</span>'
        for colour, text in (("front", "on the front"), ("knee", "its knee"), ("other", "dominated"))
    )
    bars = "<span>bars: one standard error</span>" if any(m.error for m in front.members) else ""
    return (
        f'{templates}<figure>{figure.draw(front)}<div class="legend">{legend}{bars}</div><div id="card"></div></figure>'
    )


def _card(t: Trained, front: Front, background: Background) -> str:
    place = next((f"member {i}" for i, m in enumerate(front.members) if m.trial == t.trial), "dominated")
    figures = {**{o.name: t.values[o.name] for o in front.objectives}, **_price(t)}
    rows = [(escape(wording.axis(name)), _measured(name, v, t)) for name, v in figures.items()]
    changed = {p: v for p, v in t.params.items() if p not in background.baseline or background.baseline[p] != v}
    rows += [(escape(p), escape(_change(background.baseline.get(p), v))) for p, v in changed.items()]
    if t.parent:
        had = f"{', '.join(t.parent.nodes)} of trial {t.parent.trial}, {_share(t)} of its parameters"
        rows.append(("began with", escape(had)))
    table = "".join(f"<tr><td>{name}</td><td>{v}</td></tr>" for name, v in rows)
    same = "" if changed else '<div class="note">the base spec itself</div>'
    return f'<template id="card-{t.trial}"><b>{place}</b>, trial {t.trial}<table>{table}</table>{same}</template>'


def _change(before: Any, after: Any) -> str:
    return wording.value(after) if before is None else f"{wording.value(before)} \u2192 {wording.value(after)}"


def _share(t: Trained) -> str:
    return f"{t.parent.share:.0%}" if t.parent else ""


def _measured(name: str, value: float, t: Trained) -> str:
    plain = wording.amount(name, value)
    return f"{plain} &plusmn; {t.error:.3f}" if name == "accuracy" and t.error is not None else plain


def _price(t: Trained) -> dict[str, float]:
    return {n: t.figures[n] for n in ("parameters.total", "memory.weights") if n in t.figures and n not in t.values}


def _table(heads: Iterable[tuple[str, bool]], rows: Iterable[tuple[str, Sequence[tuple[str, bool]]]]) -> str:
    """`heads` and cells: HTML, and whether it is a number. A row of a single cell belongs to the row above it."""

    def cell(tag: str, text: str, number: bool) -> str:
        return f"<{tag} class=n>{text}</{tag}>" if number else f"<{tag}>{text}</{tag}>"

    head = "".join(cell("th", *h) for h in heads)
    columns = head.count("<th")
    body = "".join(
        f"<tr class='{kind}'>{''.join(cell('td', *c) for c in cells)}</tr>"
        if len(cells) > 1
        else f"<tr class='{kind}'><td></td><td colspan={columns - 1}>{cells[0][0]}</td></tr>"
        for kind, cells in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _columns(front: Front) -> list[str]:
    names = [o.name for o in front.objectives]
    return names + [n for n in ("parameters.total",) if n not in names and all(n in t.figures for t in front.trained)]


def _members(front: Front) -> str:
    columns = _columns(front)
    rows = []
    for i, m in enumerate(front.members):
        place = front.folder / "front" / str(i)
        commands = (
            f"mmspec build {shlex.quote(str(place / 'spec.yaml'))}",
            f"mmspec export {shlex.quote(str(place))} --target edge_cpu_fp32",
        )
        spec = escape(wording.label(m.params, front.varied)) + "".join(
            f'<span class="command">{escape(command)}</span>' for command in commands
        )
        numbers = [(_measured(n, m.values.get(n, m.figures.get(n, 0.0)), m), True) for n in columns]
        kind = "knee" if i == front.knee else ""
        rows.append((f"member {kind}", [(str(i), False), *numbers, *_again(front, m)]))
        rows.append((kind, [(spec, False)]))
    again = [(title, title != "95 % interval") for title in _again_titles(front)]
    heads = [("", False), *((escape(wording.axis(n)), True) for n in columns), *again]
    bounds = ", ".join(f"{escape(name)} {bound:.3f}" for name, bound in front.members[0].bounds.items())
    note = f"<p class=note>Accuracy that needs no fusion at all: {bounds}.</p>" if bounds else ""
    return f"<h2>The front</h2>{note}{_table(heads, rows)}"


def _again_titles(front: Front) -> list[str]:
    """Columns of members that were trained again."""
    if not all(m.confirmed for m in front.members):
        return []
    tested = any(m.confirmed and m.confirmed.tests for m in front.members)
    return ["95 % interval", "in the search", "non-dominated", *(["test accuracy"] if tested else [])]


def _again(front: Front, m: Trained) -> list[tuple[str, bool]]:
    titles, name = _again_titles(front), front.vertical.name
    if not titles or m.confirmed is None:
        return []
    test = "" if m.confirmed.test is None else f"{m.confirmed.test:.3f}"
    searched = wording.amount(name, m.confirmed.searched[name])
    cells = [(_interval(front, m), False), (searched, True), (f"{m.confirmed.chance:.0%}", True), (test, True)]
    return cells[: len(titles)]


def _interval(front: Front, m: Trained) -> str:
    """A bar on one scale for all members: the interval, and a mark at the mean."""
    name = front.vertical.name
    spans = [(v - h, v + h) for v, h in (_mean_and_half(other, name) for other in front.members)]
    low, high = min(a for a, _ in spans), max(b for _, b in spans)
    if high <= low:
        return ""
    value, half = _mean_and_half(m, name)
    left, middle, width = ((x / (high - low)) * 100 for x in (value - half - low, value - low, 2 * half))
    said = f"{wording.amount(name, value - half)} to {wording.amount(name, value + half)}"
    return (
        f'{said}<div class="interval"><i style="left:{left:.1f}%;width:{width:.1f}%"></i>'
        f'<b style="left:{middle:.1f}%"></b></div>'
    )


def _mean_and_half(m: Trained, name: str) -> tuple[float, float]:
    return m.values[name], m.confirmed.halves.get(name, 0.0) if m.confirmed else 0.0


def _importance(front: Front) -> str:
    """Of each objective that is no figure of the price."""
    blocks = []
    for o in front.objectives:
        if all(o.name in t.figures for t in front.trained) or not front.varied:
            continue
        name = escape(wording.axis(o.name))
        if len(front.trained) < LEAST:
            blocks.append(f"<p class=note>For {name}: not told from fewer than {LEAST} trainings.</p>")
            continue
        if (found := importance(front, o.name)) is None:
            continue
        rows = "".join(
            f'<tr><td>{escape(wording.short(path))}</td><td class=n>{share:.2f}</td><td><div class="bar">'
            f'<i style="width:{100 * share:.1f}%"></i></div></td></tr>'
            for path, share in found.shares.items()
        )
        trust = f"they explain {found.explained:.0%} of the variance of trainings they have not seen"
        if found.explained <= 0:
            trust = "<b>they predict nothing that they have not seen: do not read anything into the shares</b>"
        note = f"For {name}, by trees over {found.trainings} trainings; {trust}."
        blocks.append(f"<p class=note>{note}</p><table>{rows}</table>")
    return f"<h2>What decides</h2>{''.join(blocks)}" if blocks else ""


def _course(front: Front) -> str:
    over, lines = course.hypervolume(front), course.parallel(front)
    found = f'<h2>Hypervolume on the way</h2><div class="halves">{over}</div>' if over else ""
    if lines:
        note = "Every training is a line; one that breaks off does not have the parameter."
        found += f"<h2>All trainings, side by side</h2><p class=note>{note}</p>{lines}"
    return found


def _trust(front: Front) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in caveats(front))
    return f'<h2>How far this can be trusted</h2><ul class="trust">{items}</ul>'


def _knee(front: Front) -> str:
    member = front.members[front.knee]
    parts = [p for p in (_questions(member), _confusion(member)) if p]
    return f'<h2>The knee, looked into</h2><div class="split">{"".join(parts)}</div>' if parts else ""


def _questions(member: Trained) -> str:
    if not member.groups:
        return ""
    bars = {
        name: f'<div class="bar"><i style="width:{100 * share:.1f}%"></i></div>'
        for name, share in member.groups.items()
    }
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td class=n>{share:.3f}</td><td>{bars[name]}</td></tr>"
        for name, share in member.groups.items()
    )
    return f"<div><p class=note>Accuracy per question template</p><table>{rows}</table></div>"


def _confusion(member: Trained) -> str:
    labels, counts = member.head.get("classes", ()), member.head.get("confusion", ())
    if not counts or len(labels) != len(counts) or len(labels) > 40:
        return ""
    head = "<tr><th></th>" + "".join(f"<th>{escape(name)}</th>" for name in labels) + "</tr>"
    body = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(_shade(n, sum(row), i == j) for j, n in enumerate(row))}</tr>"
        for i, (name, row) in enumerate(zip(labels, counts, strict=True))
    )
    note = "Rows: the true answer; columns: the network's. In percent of the row; what is empty never happened."
    return f'<div><p class=note>{note}</p><div class=scroll><table class="confusion">{head}{body}</table></div></div>'


def _shade(count: float, total: float, right: bool) -> str:
    share = count / total if total else 0.0
    text = "" if not count else f"{100 * share:.0f}"
    colour = "--front" if right else "--knee"
    strength = 8 + 82 * share if count else 0
    ink = "var(--paper)" if share > 0.55 else "inherit"
    return f'<td style="background:color-mix(in srgb, var({colour}) {strength:.0f}%, var(--panel));color:{ink}">{text}</td>'


def _all(front: Front) -> str:
    columns = _columns(front)
    place = {m.trial: f"{i}" for i, m in enumerate(front.members)}
    heads = [
        ("trial", False),
        ("front", False),
        *((escape(wording.axis(n)), True) for n in columns),
        ("time", True),
        *((("parent", True), ("inherited", True)) if front.inherited else ()),
        ("spec", False),
    ]
    rows = [
        (
            "",
            [
                (str(t.trial), False),
                (place.get(t.trial, ""), False),
                *((_measured(n, t.values.get(n, t.figures.get(n, 0.0)), t), True) for n in columns),
                (wording.duration(t.seconds), True),
                *(((str(t.parent.trial) if t.parent else "", True), (_share(t), True)) if front.inherited else ()),
                (escape(wording.label(t.params, front.varied)), False),
            ],
        )
        for t in front.trained
    ]
    return f"<details><summary>All {len(front.trained)} trainings</summary>{_table(heads, rows)}</details>"


def _foot(background: Background) -> str:
    facts = " &middot; ".join(f"{escape(k)} {escape(v)}" for k, v in background.environment.items())
    rule = (
        "The knee is the member furthest below the line between the front's two ends, both axes scaled to 0..1 (Das 1999). "
        "FLOPs are 2 per multiply-add of linear, convolution and attention, forward, one example."
    )
    return f"<footer>{rule}<br>{facts}</footer>"
