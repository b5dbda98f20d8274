r"""How evenly experts are used, what each of them sees, and what finds no room.

imbalance = max_e l_e / mean_e l_e                      l_e: expert e's share of the choices
entropy of an expert = H(X | expert e) / H(X)           X the modality of the token, or the class of its sample: 1 where the
                                                        expert sees what everybody sees, 0 where it sees one kind alone
information = I(X; expert) / H(X)                       what knowing the expert says about X; 0: nothing, 1: everything
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmspec.cost.quantities import share
from mmspec.training.diagnostics.html import heat, table
from mmspec.training.diagnostics.subject import Figures, Section, Subject, Unfit, listed, shares

NO_EXPERTS = "no layer of this model has experts"


def measure_loads(subject: Subject) -> Figures | Unfit:
    """By layer: `load`, `imbalance`, and the load `by_modality`."""
    if not subject.experts:
        return NO_EXPERTS
    found = {}
    for name, route in subject.routes.items():
        counts = route.by_class.sum(dim=0)[:-1]
        load = shares(counts)
        by_modality = listed({modality: each[:-1] for modality, each in route.by_modality.items()})
        found[name] = {"load": load, "imbalance": max(load) * len(load), "by_modality": by_modality}
    return found


def draw_loads(figures: Figures) -> str:
    most = max(len(row["load"]) for row in figures.values())
    rows = []
    for name, row in figures.items():
        several = len(row["by_modality"]) > 1
        rows.append((_short(name), row["load"], f"{row['imbalance']:.2f}"))
        if several:
            rows += [(f"\u2003{modality}", load, "") for modality, load in row["by_modality"].items()]
        elif row["by_modality"]:
            rows[-1] = (f"{_short(name)}, {next(iter(row['by_modality']))}", *rows[-1][1:])
    return heat([f"expert {number}" for number in range(1, most + 1)], rows, "max/mean")


def measure_specialisation(subject: Subject) -> Figures | Unfit:
    """By layer and for modality, class and group: `entropy` of each expert (None: it saw nothing) and `information`."""
    if not subject.experts:
        return NO_EXPERTS
    target, found = subject.target, {}
    for name, route in subject.routes.items():
        tables = {"modality": torch.stack(list(route.by_modality.values())) if route.by_modality else torch.zeros(1, 1)}
        if target is not None:
            tables["class"] = route.by_class
        if subject.trained.data.groups:
            tables["group"] = route.by_group
        row: Figures = {kind: specialised(counts[:, :-1].double()) for kind, counts in tables.items()}
        if target is not None:
            sent = route.by_class[:, :-1].double()
            of_each = (sent / sent.sum(dim=0).clamp(min=1)).T.tolist()
            row |= {"classes": list(subject.classes(target.head)), "class_shares": of_each}
        found[name] = row
    return found


def specialised(counts: Tensor) -> Figures:
    """Of kinds by experts.   f64[kinds, experts]"""
    whole = float(entropy(counts.sum(dim=1)))
    if whole == 0:
        return {"entropy": None, "information": None, "why": "there is one kind only"}
    sent = counts.sum(dim=0)
    each = [float(entropy(counts[:, e])) / whole if sent[e] else None for e in range(counts.shape[1])]
    inside = sum(float(sent[e] / sent.sum()) * value for e, value in enumerate(each) if value is not None)
    return {"entropy": each, "information": 1 - inside}


def entropy(counts: Tensor) -> Tensor:
    """In nats."""
    p = counts / counts.sum().clamp(min=1)
    nats: Tensor = -torch.special.xlogy(p, p).sum()
    return nats


def draw_specialisation(figures: Figures) -> str:
    parts, rows = [], []
    for name, row in figures.items():
        for kind in ("modality", "class", "group"):
            found = row.get(kind)
            if found and found["entropy"] is not None:
                cells = ["\u2013" if value is None else f"{value:.3f}" for value in found["entropy"]]
                rows.append((f"<code>{_short(name)}</code>", kind, f"{found['information']:.3f}", ", ".join(cells)))
    parts.append(
        table(("layer", "by", "information", "entropy of each expert, as a share of everybody's"), rows, numbers=(2,))
    )
    for name, row in figures.items():
        if "classes" in row and len(row["classes"]) <= 40:
            grid = [(f"expert {number}", load, "") for number, load in enumerate(row["class_shares"], 1)]
            parts.append(
                f"<h3>{_short(name)}: classes among what each expert sees</h3>{heat(row['classes'], grid, '')}"
            )
    return "".join(parts)


def measure_dropped(subject: Subject) -> Figures | Unfit:
    """By layer whose experts have room for so many tokens: the share of the choices that found none, and by modality."""
    limited = {name: route for name, route in subject.routes.items() if _limited(subject, name)}
    if not limited:
        return "no router of this model has a capacity, so that no token is dropped" if subject.experts else NO_EXPERTS
    return {
        name: {
            "dropped": shares(route.by_class.sum(dim=0))[-1],
            "by_modality": {modality: shares(counts)[-1] for modality, counts in route.by_modality.items()},
        }
        for name, route in limited.items()
    }


def _limited(subject: Subject, name: str) -> bool:
    layer = subject.experts[name]
    return getattr(layer, "capacity", None) is not None or bool(getattr(layer, "nobody", False))


def draw_dropped(figures: Figures) -> str:
    rows = [
        (
            f"<code>{_short(name)}</code>",
            share(row["dropped"], 1),
            ", ".join(f"{m} {share(v, 1)}" for m, v in row["by_modality"].items()),
        )
        for name, row in figures.items()
    ]
    return table(("layer", "dropped", "by modality"), rows, numbers=(1,))


def _short(name: str) -> str:
    return name.removesuffix(".experts")


LOADS = Section(
    "expert_load",
    "How evenly experts are used",
    "The share of the choices that each expert got, all samples going to the end; max/mean is 1 where all are used alike. "
    "Tokens of padding are counted, because they are computed.",
    measure_loads,
    draw_loads,
)
SPECIALISATION = Section(
    "specialisation",
    "What each expert sees",
    "Entropy 1: an expert sees a mixture as rich as everybody's (above 1: richer); 0: one kind alone. Information: the share of "
    "the kind that knowing the expert tells.",
    measure_specialisation,
    draw_specialisation,
)
DROPPED = Section(
    "dropped_tokens",
    "Tokens that found no room",
    "Shares of the choices whose expert was full.",
    measure_dropped,
    draw_dropped,
)
