"""The front as rows: for a terminal, for a spreadsheet, for a program."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mmspec.study import wording
from mmspec.study.caveats import caveats
from mmspec.study.result import Front, Trained


def rows(front: Front) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Titles and cells for people: number, objectives, parameters, spec; the knee says that it is one."""
    names = [o.name for o in front.objectives]
    extra = [n for n in ("parameters.total",) if n not in names and all(n in m.figures for m in front.members)]
    again = [] if not all(m.confirmed for m in front.members) else ["non-dominated", "test accuracy"]
    if any(m.confirmed is None or m.confirmed.test is None for m in front.members):
        again = again[:1]
    titles = ("", *map(wording.axis, (*names, *extra)), *again, "spec", "")
    cells = [
        (
            str(i),
            *(_cell(name, m) for name in names),
            *(wording.amount(name, m.figures[name]) for name in extra),
            *_confirmed(m)[: len(again)],
            wording.label(m.params, front.varied) or "the base spec",
            "knee" if i == front.knee else "",
        )
        for i, m in enumerate(front.members)
    ]
    return titles, cells


def _confirmed(m: Trained) -> tuple[str, ...]:
    if m.confirmed is None:
        return ()
    return f"{m.confirmed.chance:.0%}", "" if m.confirmed.test is None else f"{m.confirmed.test:.3f}"


def _cell(name: str, m: Trained) -> str:
    text = wording.amount(name, m.values[name])
    return f"{text} \u00b1 {m.error:.3f}" if name == "accuracy" and m.error is not None else text


def markdown(front: Front) -> str:
    titles, cells = rows(front)
    lines = [titles, tuple("---" for _ in titles), *cells]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def as_csv(front: Front) -> str:
    """Every training, one row each, numbers in full."""
    paths = list(dict.fromkeys(path for t in front.trained for path in t.params))
    figures = [n for n in dict.fromkeys(n for t in front.trained for n in t.figures) if not n.startswith("nodes.")]
    names = [o.name for o in front.objectives if o.name not in figures]
    place = {m.trial: i for i, m in enumerate(front.members)}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heirs = ["parent", "inherited"] if front.inherited else []
    writer.writerow(["trial", "front", *names, *figures, "seconds", *heirs, *paths])
    for t in front.trained:
        writer.writerow(
            [t.trial, place.get(t.trial, ""), *(t.values[n] for n in names), *(t.figures.get(n, "") for n in figures),
             f"{t.seconds:.2f}", *_inherited(t)[: len(heirs)], *(t.params.get(p, "") for p in paths)]
        )  # fmt: skip
    return out.getvalue()


def _inherited(t: Trained) -> tuple[int | str, str]:
    return (t.parent.trial, f"{t.parent.share:.4f}") if t.parent else ("", "0")


def as_data(front: Front) -> dict[str, Any]:
    """The same for machines; paths are relative to the study's folder."""
    return {
        "name": front.name,
        "objectives": [
            {"name": o.name, "direction": "maximize" if o.maximize else "minimize"} for o in front.objectives
        ],
        "hypervolume": front.hypervolume,
        "reference": list(front.reference) or None,
        "knee": front.knee,
        "front": [{"folder": f"front/{i}", **_plain(m)} for i, m in enumerate(front.members)],
        "dominated": [{"folder": f"trials/{t.folder.name}", **_plain(t)} for t in front.dominated],
        "refused": dict(front.refused),
        "failed": dict(front.failed),
        "repeated": front.repeated,
        "rungs": [asdict(rung) for rung in front.rungs],
        "caveats": list(caveats(front)),
    }


def as_json(front: Front) -> str:
    return json.dumps(as_data(front), indent=2) + "\n"


def _plain(t: Trained) -> dict[str, Any]:
    interval: Sequence[float] | None = t.interval
    return {
        "trial": t.trial,
        "values": dict(t.values),
        "interval": list(interval) if interval else None,
        "confirmed": t.confirmed
        and {
            "seeds": t.confirmed.seeds,
            "searched": dict(t.confirmed.searched),
            "values": [dict(v) for v in t.confirmed.values],
            "intervals": {
                name: [t.values[name] - half, t.values[name] + half] for name, half in t.confirmed.halves.items()
            },
            "non_dominated": t.confirmed.chance,
            "test_accuracy": t.confirmed.test,
        },
        "baselines": dict(t.bounds),
        "params": dict(t.params),
        "figures": {k: v for k, v in t.figures.items() if not k.startswith("nodes.")},
        "seconds": round(t.seconds, 2),
        "digest": t.digest,
        "parent": t.parent and t.parent.trial,
        "inherited": t.parent.share if t.parent else 0.0,
        "inherited_nodes": list(t.parent.nodes) if t.parent else [],
    }
