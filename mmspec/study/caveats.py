"""What a reader of the front must know before believing it, in sentences with this study's own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmspec.study.result import Front, RungReport, Trained
from mmspec.study.trust import noisy_neighbours, optimism, within_noise


def caveats(front: Front) -> tuple[str, ...]:
    """Sentences, most important first; only the first where no accuracy on a known number of examples was measured."""
    members = front.members
    best = max((m for m in members if m.accuracy is not None), key=lambda m: m.accuracy or 0.0, default=None)
    if best is None or best.accuracy is None or best.examples is None:
        return _once(front.recipe), *_inherited(front), *map(_rung, front.rungs)
    said = [_again(front) if best.confirmed else _once(front.recipe), *_inherited(front)]
    errors = [m.error for m in members if m.error is not None]
    what = (
        "half-interval over 1.96 of the means is"
        if best.confirmed
        else "standard error that follows from that number alone is"
    )
    rest = "" if best.confirmed else "; the luck of one seed comes on top of it"
    said.append(f"Accuracies were measured on {_counted(best)}. The {what} {_span(errors)} on this front{rest}.")
    accuracies = [m.accuracy or 0.0 for m in members]
    if pairs := noisy_neighbours(accuracies, best.examples):
        chains = ", ".join(f"{a} and {b}" for a, b in pairs)
        said.append(
            f"Neighbours within noise of one another: {chains}. Of such a pair the cheaper one is the better choice."
        )
    else:
        said.append("No two neighbours on the front are within noise of one another (1.96 standard errors).")
    curse = optimism(best.accuracy, best.examples, len(front.trained))
    if curse > 0 and not best.confirmed:
        said.append(
            f"Winner's curse: the front keeps the lucky. If all {len(front.trained)} networks were equally good, the best "
            f"would still look {curse:.3f} better than it is. Train again with fresh seeds before quoting a figure."
        )
    said += [*_beyond(front), *_modalities(front), *map(_rung, front.rungs)]
    return tuple(said)


def unlearned(front: Front) -> tuple[int, ...]:
    """Members whose accuracy is not above what one modality alone can reach, noise allowed for."""
    return tuple(
        i
        for i, m in enumerate(front.members)
        if m.accuracy is not None
        and m.examples is not None
        and any(m.accuracy <= bound or within_noise(m.accuracy, bound, m.examples) for bound in m.bounds.values())
    )


def _span(errors: list[float]) -> str:
    low, high = f"{min(errors):.3f}", f"{max(errors):.3f}"
    return low if low == high else f"{low} to {high}"


def _beyond(front: Front) -> list[str]:
    """What the reference cuts off."""
    corner = [o.cost(r) for o, r in zip(front.objectives, front.reference, strict=False)]
    cut = [i for i, m in enumerate(front.members) if any(c > r for c, r in zip(front.costs(m), corner, strict=False))]
    listed = ", ".join(map(str, cut))
    return (
        [f"The reference lies inside the front: beyond it, and not in the hypervolume, are: {listed}."] if cut else []
    )


def _rung(rung: RungReport) -> str:
    said = f"Of {rung.reached} trainings that came to step {rung.step}, {rung.stopped} were stopped there"
    if rung.correlation is None:
        return f"{said}; too few went on to the end to say whether it predicts."
    agree = f"agree by {rung.correlation:.2f} (Kendall's tau)"
    found = f"{said}; of the {rung.pairs} that went on to the end, the order there and then {agree}"
    return f"{found}." if rung.trusted else f"{found}: it does not predict, and was left out from then on."


def _once(recipe: Mapping[str, Any]) -> str:
    steps = recipe.get("steps")
    batch = recipe.get("batch")
    length = f", for {steps} steps" + (f" of {batch} examples" if batch else "") if steps else ""
    return (
        f"Every network was trained once, with one seed{length}. That ranks them for short trainings; "
        "a longer one raises all, and not always in the same order."
    )


def _inherited(front: Front) -> list[str]:
    parents = front.inherited
    if not parents:
        return []
    share, longest = sum(p.share for p in parents) / len(parents), max(p.generation for p in parents)
    behind = "one training" if longest == 1 else f"up to {longest} trainings"
    said = (
        f"In the search {len(parents)} of {len(front.trained)} networks began with trained weights of earlier ones (inherit), "
        f"{share:.0%} of their parameters on average, which have {behind} behind them: these values are of more steps than the "
        "recipe has, and later networks had more of them than early ones"
    )
    fresh = any(t.confirmed for t in front.trained)
    return [
        f"{said}. {'The fresh trainings began from nothing.' if fresh else 'From nothing the same specs reach other values.'}"
    ]


def _again(front: Front) -> str:
    confirmed = [t.confirmed for t in front.trained if t.confirmed]
    seeds = max(c.seeds for c in confirmed)
    fallen = [c.searched["accuracy"] - c.means["accuracy"] for c in confirmed if "accuracy" in c.means]
    luck = f"; the search had seen them {sum(fallen) / len(fallen):+.3f} higher on average" if fallen else ""
    return (
        f"{len(confirmed)} networks, the front of the search and those just behind it, were trained again with {seeds} fresh seeds "
        f"each; what is shown is the mean of these, without the search's own values{luck}."
    )


def _counted(member: Trained) -> str:
    once = "; a scan counts once, however many questions are asked about it" if member.groups else ""
    return f"{member.examples} validation examples, the same that chose the front{once}"


def _modalities(front: Front) -> list[str]:
    bounds = front.members[0].bounds
    if not bounds:
        return []
    listed = ", ".join(f"{name} {bound:.3f}" for name, bound in sorted(bounds.items(), key=lambda b: -b[1]))
    said = [
        f"The best that can be reached without looking at everything: {listed}. Only what is above them was learned from both."
    ]
    if stuck := unlearned(front):
        names = ", ".join(str(i) for i in stuck)
        said.append(f"Not above a single modality's bound: {names}. Train longer before you choose one of these.")
    return said
