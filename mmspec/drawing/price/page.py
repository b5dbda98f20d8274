"""The page: one HTML file with nothing fetched and nothing to install; without its script it lacks what the pointer shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from mmspec.cost.breakdown import OTHER, Row, bill_of, family, grouped, total, tree
from mmspec.cost.columns import FIELDS, UNSUMMED
from mmspec.cost.flops import Sizes
from mmspec.cost.quantities import duration, quantity, share
from mmspec.cost.routing import WEIGHT_BYTES
from mmspec.cost.step import WHAT
from mmspec.cost.timeline import Timeline, timeline
from mmspec.cost.work import FAMILIES
from mmspec.drawing.price import bars, memory, roofs, treemap
from mmspec.drawing.price.roofs import Roof

if TYPE_CHECKING:
    from mmspec.cost import Profile

COLUMNS = ("component", "output", "parameters", "flops", "pointwise", "bytes", "intensity", "backward", "share")
TREES: Mapping[str, tuple[str, treemap.Figure, str]] = {
    "flops": ("FLOPs", lambda line, runs, copies: runs * line.forward.flops, "FLOPs"),
    "parameters": ("parameters", lambda line, runs, copies: copies * line.parameters, ""),
    "bytes": ("bytes moved", lambda line, runs, copies: runs * line.forward.bytes, "B"),
    "backward": ("backward FLOPs", lambda line, runs, copies: runs * line.backward.flops, "FLOPs"),
}
MEMORY = "memory"
WHOLE = 99  # deeper than any tree
HELD = 10  # rows of what is alive at the peak
MODALITY_COLOURS = 8


def render(price: Profile, facts: Sequence[str] = ()) -> str:
    """The page as text. All of the user's words are escaped.   `facts`: sentences for the foot, versions for one"""
    home = files("mmspec.drawing.price")
    over_time = timeline(price.graph, Sizes(price.sizes))
    sections = (
        _head(price),
        _cards(price),
        _trees(price, over_time),
        _memory(price, over_time),
        _training(price),
        _roofline(price),
        _bars(price),
        _nodes(price),
        _unknown(price),
        _foot(facts),
    )
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(price.name)}: what it costs</title>",
            f"<style>{home.joinpath('page.css').read_text('utf-8')}{_switching()}</style></head><body><main>",
            *sections,
            f'</main><div id="tip"></div><script>{home.joinpath("page.js").read_text("utf-8")}</script></body></html>',
            "",
        )
    )


def _head(price: Profile) -> str:
    lengths = ", ".join(f"{name} = {size:,}" for name, size in price.sizes.items() if name != "B")
    batch = price.sizes["B"]
    priced = f"{batch:,} sample{'s' if batch > 1 else ''} at once{f', {lengths}' if lengths else ''}"
    about = escape(price.spec.description.strip())
    return f'<h1>{escape(price.name)}</h1><p class="lead">{f"{about}<br>" if about else ""}{escape(priced)}.</p>'


def _cards(price: Profile) -> str:
    bill = bill_of(price).forward
    trained, active = price["parameters.total"], price["parameters.active"]
    memory, unknown = price["memory"], "not known"
    peak, training = memory["peak_inference"], memory["peak_training"]
    expected = price["flops.expected"]
    cards = [
        (quantity(trained), "parameters" + (f", {quantity(active)} active" if active != trained else "")),
        (quantity(bill.flops), f"FLOPs, {quantity(bill.macs)} multiply-adds"),
        (
            unknown if peak is None else quantity(peak, "B"),
            f"at most at inference, {quantity(memory['weights'], 'B')} of it weights",
        ),
        (quantity(bill.bytes, "B"), f"moved, {bill.intensity or 0:.1f} FLOPs per byte"),
        (quantity(price.ledger.backward.flops), "FLOPs of the gradients"),
    ]
    if training is not None:
        cards.insert(3, (quantity(training, "B"), "at most in training"))
    if expected is not None and round(expected) != bill.flops:
        cards.insert(2, (quantity(expected), "expected FLOPs, as samples leave and tokens choose"))
    if price.decoding is not None:
        kept = quantity(price.decoding.per_token, "B")
        cards.append((quantity(price.decoding.work.flops), f"FLOPs for one more token of text, {kept} kept of each"))
    if price.on is not None:
        roof, fit = price.on.roofline, price.on.fit
        where = f"on {roof.device.key} in {roof.precision}"
        cards.append(
            (duration(roof.whole.least), f"a pass {where} at the least, {_or_unknown(roof.whole.op_by_op)} op by op")
        )
        cards.append((f"{fit.largest:,}", f"samples at most at once {where}"))
    return (
        '<div class="cards">'
        + "".join(f'<div class="card"><b>{escape(a)}</b><span>{escape(b)}</span></div>' for a, b in cards)
        + "</div>"
    )


def _or_unknown(seconds: float | None) -> str:
    return "unknown" if seconds is None else duration(seconds)


def _trees(price: Profile, over_time: Timeline) -> str:
    bill = bill_of(price)
    drawn = {
        key: (title, treemap.draw(treemap.tile(bill, figure), unit, title))
        for key, (title, figure, unit) in TREES.items()
    }
    drawn[MEMORY] = ("memory at the peak", treemap.draw(_held(price, over_time), "B", "memory"))
    picks = "".join(
        f'<input class="pick" type="radio" name="tree" id="pick-{key}"{"" if i else " checked"}>'
        for i, key in enumerate(drawn)
    )
    labels = "".join(f'<label for="pick-{key}">{title}</label>' for key, (title, _) in drawn.items())
    trees = "".join(f'<div class="tree tree-{key}">{tree}</div>' for key, (_, tree) in drawn.items())
    legend = _classes({family(line) for line, _ in bill.operations()})
    return (
        f'<h2>Where it goes</h2>{picks}<div class="switch">{labels}</div><figure>{trees}{legend}</figure>'
        "<p class=note>Areas are shares of the whole; blocks of a stack stand together (×12). Shared weights are counted once.</p>"
    )


def _held(price: Profile, over_time: Timeline) -> treemap.Tile:
    """Weights by whose they are, and what is alive at the worst moment of inference, by who made it; float32."""
    weights = treemap.tile(price.ledger, lambda line, runs, copies: WEIGHT_BYTES * copies * line.parameters)
    alive = tuple(
        treemap.Tile(".".join(held.path.split(".")[-2:]), held.path, "activations", OTHER, held.bytes)
        for held in over_time.held
    )
    size = sum(tile.value for tile in alive)
    at = over_time.peak.path if over_time.peak else ""
    parts = [*weights.inside, treemap.Tile("activations", at, "alive at the peak", OTHER, size, alive)]
    inside = tuple(sorted((part for part in parts if part.value), key=lambda part: -part.value))
    return treemap.Tile("", "", "", OTHER, weights.value + size, inside)


def _switching() -> str:
    """Which treemap is seen, and which button is pressed."""
    shown = ",".join(f"#pick-{key}:checked ~ figure .tree-{key}" for key in (*TREES, MEMORY))
    pressed = ",".join(f'#pick-{key}:checked ~ .switch label[for="pick-{key}"]' for key in (*TREES, MEMORY))
    focused = ",".join(f'#pick-{key}:focus-visible ~ .switch label[for="pick-{key}"]' for key in (*TREES, MEMORY))
    return (
        f"{shown} {{ display:block; }}\n{pressed} {{ background:var(--accent); border-color:var(--accent); color:var(--paper); }}\n"
        f"{focused} {{ outline:2px solid var(--ink); }}\n"
    )


def _classes(there: Collection[str]) -> str:
    items = "".join(f'<span><i class="{name}"></i>{name}</span>' for name in (*FAMILIES, OTHER) if name in there)
    return f'<div class="legend">{items}</div>'


def _memory(price: Profile, over_time: Timeline) -> str:
    peak = over_time.peak
    if peak is None:
        return ""
    held = over_time.held
    rest = sum(each.bytes for each in held[HELD:])
    rows = [
        (f"<code>{escape(each.path)}</code>", quantity(each.bytes, "B"), share(each.bytes, peak.alive))
        for each in held[:HELD]
    ]
    if rest:
        rows.append((f"{len(held) - HELD} more", quantity(rest, "B"), share(rest, peak.alive)))
    return (
        "<h2>Memory over time</h2>"
        f"<p class=note>Bytes of activations that are alive while each operation runs at inference in float32, beside "
        f"{quantity(price['memory.weights'], 'B')} of weights. Below: what is alive at the peak, in "
        f"<code>{escape(peak.path)}</code>.</p>"
        f"<figure>{memory.draw(over_time.moments)}</figure>" + _table(("made by", "bytes", "share"), rows)
    )


def _training(price: Profile) -> str:
    """Where it is said how the model is trained."""
    step = price.training
    if step is None or step.peak is None:
        return ""
    sorts: dict[str, int] = {}
    for held in step.alive:
        sorts[held.what] = sorts.get(held.what, 0) + held.bytes
    ordered = sorted(sorts.items(), key=lambda item: -item[1])
    rows = [(WHAT[what], quantity(size, "B"), share(size, step.peak)) for what, size in ordered]
    return (
        "<h2>A training step</h2>"
        f"<p class=note>Bytes that are held at each moment of a step; the forward keeps {quantity(step.saved or 0, 'B')} for the "
        "backward. Below: what is held at the peak.</p>"
        f"<figure>{memory.draw(step.course, step.always)}</figure>" + _table(("held as", "bytes", "share"), rows)
    )


def _roofline(price: Profile) -> str:
    bill, roof = bill_of(price), _roof(price)
    found = roofs.points(bill)
    if not found:
        return ""
    without = sum(runs * line.forward.bytes for line, runs in bill.operations() if not line.forward.flops)
    moved = bill.forward.bytes
    said = (
        "Every operation with products, by its FLOPs and by how many of them each byte that it reads or writes is good for. "
        f"Those without products are not shown; they move {share(without, moved)} of all bytes."
    )
    if roof is not None:
        ridge = f"{roof.ridge:.0f} FLOPs per byte"
        said += (
            f" Dashed: what takes equally long on {roof.device} in {roof.precision} ({quantity(roof.peak)}FLOP/s, "
            f"{quantity(roof.bandwidth)}B/s, a ridge at {ridge}), if each operation reads its inputs and writes its outputs."
        )
    drawn = f"<figure>{roofs.draw(found, roof)}{_classes({point.family for point in found})}</figure>"
    return f"<h2>Arithmetic and memory</h2><p class=note>{escape(said)}</p>{drawn}"


def _roof(price: Profile) -> Roof | None:
    """Of the device in question; None without one, or where its peak is not known."""
    if price.on is None:
        return None
    device, precision = price.on.roofline.device, price.on.roofline.precision
    peak = device.peak(precision)
    return None if peak is None else Roof(device.name, precision, peak, device.bandwidth)


def _bars(price: Profile) -> str:
    modalities = grouped(price, "modality")
    colours = [f"m{index % MODALITY_COLOURS}" for index in range(len(modalities))]
    classes = grouped(price, "class")
    text = f"<h2>Whose it is</h2><figure>{bars.draw(modalities, colours)}</figure>" if len(modalities) > 1 else ""
    heading = "" if text else "<h2>What it is</h2>"
    note = "<p class=note>By the inputs that flow into a node; where several meet, by all of them.</p>" if text else ""
    return f"{text}{note}{heading}<figure>{bars.draw(classes, [row.label for row in classes])}</figure>"


def _nodes(price: Profile) -> str:
    return (
        f"<h2>Node by node</h2>{_rows(price, tree(price, 1))}"
        f"<details><summary>Every operation</summary>{_rows(price, tree(price, WHOLE))}</details>"
    )


def _rows(price: Profile, rows: Sequence[Row]) -> str:
    last = total(price)
    whole = last.forward.flops
    fields = {name: FIELDS[name] for name in (*COLUMNS, *(["time"] if price.on else []))}
    head = "".join(f"<th{' class=n' if field.number else ''}>{field.title}</th>" for field in fields.values())
    body = []
    for row in rows:
        indent = f' style="padding-left:{18 * (row.level - 1)}px"' if row.level > 1 else ""
        deep = " class=deep" if row.level > 1 else ""
        cells = "".join(
            f"<td{' class=n' if field.number else ''}>{escape(field.text(row, whole))}</td>"
            for field in fields.values()
        )
        body.append(f"<tr><td{deep}{indent}>{escape(row.label)}</td>{cells}</tr>")
    summed = "".join(
        f"<td class=n>{'' if name in UNSUMMED else escape(field.text(last, whole))}</td>"
        for name, field in fields.items()
    )
    body.append(f'<tr class="total"><td>total</td>{summed}</tr>')
    return f'<div class="scroll"><table class="wide"><tr><th>node</th>{head}</tr>{"".join(body)}</table></div>'


def _unknown(price: Profile) -> str:
    reasons: dict[str, list[str]] = {}
    for figure, why in price["unknown"].items():
        reasons.setdefault(why, []).append(figure)
    items = [f"<code>{escape(', '.join(names))}</code>: {escape(why)}" for why, names in reasons.items()]
    text = "<h2>Not known</h2><ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>" if items else ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in price["notes"])
    return text + (f"<h2>Done unasked</h2><ul>{notes}</ul>" if notes else "")


def _foot(facts: Sequence[str]) -> str:
    rule = (
        "FLOPs are 2 per multiply-add of linear layers, convolutions and attention products, one pass with all exits. Pointwise: "
        "operations on single elements. Bytes: what each operation reads and writes, once."
    )
    said = "".join(f"<br>{escape(fact)}" for fact in facts)
    return f"<footer>{rule}{said}</footer>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already; all but the first are numbers."""
    first, *others = head
    titles = f"<th>{first}</th>" + "".join(f"<th class=n>{name}</th>" for name in others)
    body = "".join(
        f"<tr><td>{cells[0]}</td>" + "".join(f"<td class=n>{cell}</td>" for cell in cells[1:]) + "</tr>"
        for cells in rows
    )
    return f"<table><tr>{titles}</tr>{body}</table>"
