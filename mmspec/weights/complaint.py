"""Everything that keeps a checkpoint from fitting a model, in one text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import prod

from mmspec.weights.checkpoint import Checkpoint
from mmspec.weights.plan import Ours, Plan

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


def text(
    plan: Plan, checkpoint: Checkpoint, ours: Mapping[str, Ours], layout: str, model: str, node: str, hint: str = ""
) -> str:
    """One line for each tensor; what differs by its numbers alone shares one: image.blocks.0-11.norm1.weight."""
    counts = {"missing": len(plan.missing), "unused": len(plan.unused), "of another shape": len(plan.misfits)}
    found = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    lines = [f"{checkpoint.name} does not fit {f'{node} of ' if node else ''}{model} by the layout {layout}: {found}"]
    lines += _lines("missing", {name: f"{list(ours[name].shape)}  {why}" for name, why in plan.missing.items()})
    lines += _lines("unused", {name: f"{list(checkpoint.shapes[name])}  {why}" for name, why in plan.unused.items()})
    lines += _lines("shape", plan.misfits)
    lines += [f"here {word} is {meaning}; {model} has none" for word, meaning in plan.absent.items()]
    if hint:
        lines.append(hint)
    elif plan.unused and not plan.missing and not plan.misfits:
        patterns = sorted({name.rpartition(".")[0] + ".*" if "." in name else name for name in plan.unused})
        lines.append(f"what the model has no use for is left out by `ignore: [{', '.join(patterns[:4])}]`")
    return "\n".join(lines)


def names(several: Iterable[str]) -> str:
    """Names, those that differ by their numbers alone as one."""
    return ", ".join(together for together, _ in grouped(dict.fromkeys(several, "")))


def _lines(kind: str, said: Mapping[str, str]) -> list[str]:
    together = grouped(said)
    width = min(max((len(name) for name, _ in together), default=0), 60)
    return [f"  {kind:<8} {name:<{width}}  {why}".rstrip() for name, why in together]


def grouped(said: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names with what is said of each; those that differ in numbers alone, and are there for all of these numbers, as one."""
    groups: dict[tuple[str, str], list[list[int]]] = {}
    for name, why in sorted(said.items()):
        key = (_NUMBER.sub("#", name), _NUMBER.sub("#", why))
        groups.setdefault(key, []).append([int(number) for number in _NUMBER.findall(name)])
    lines = []
    for (name, why), rows in groups.items():
        columns = [sorted(set(column)) for column in zip(*rows, strict=True)]
        if len(rows) == prod(map(len, columns)):
            lines.append((_filled(name, map(_span, columns)), _filled(why, map(_span, columns))))
        else:
            lines += [(_filled(name, map(str, row)), _filled(why, map(str, row))) for row in rows]
    return lines


def _filled(name: str, numbers: Iterable[str]) -> str:
    left = iter(numbers)
    return re.sub("#", lambda _: next(left, "#"), name)


def _span(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return str(numbers[0])
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return "{" + ",".join(map(str, numbers)) + "}"
