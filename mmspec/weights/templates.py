"""Names with places to fill in: `layers.{i}.attention.q_proj.{p}`.

`{p}` stands for what a layer calls its own (weight, bias, running_mean, ...), any other letter for a number; `{i+1}` and `{i-1}`
for a number that is one more or less than i, where one side counts from 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

_PLACE = re.compile(r"\{([a-z]+)([+-]\d+)?\}")
WORD = "p"
WORDS = "weight|bias|running_mean|running_var|num_batches_tracked"


def match(template: str, name: str) -> dict[str, str] | None:
    """What the places hold where `name` is of that form; None where it is not."""
    pattern, offsets = _compiled(template)
    found = pattern.fullmatch(name)
    if found is None:
        return None
    values = found.groupdict()
    for place, offset in offsets.items():
        number = int(values[place]) - offset
        if number < 0:
            return None
        values[place] = str(number)
    return values


def fill(template: str, values: Mapping[str, str]) -> str:
    """The name that a template means for these values; places without a value stay."""

    def value(place: re.Match[str]) -> str:
        text = values.get(place[1])
        if text is None:
            return place[0]
        return str(int(text) + int(place[2])) if place[2] else text

    return _PLACE.sub(value, template)


def places(template: str) -> set[str]:
    return {place[1] for place in _PLACE.finditer(template)}


@cache
def _compiled(template: str) -> tuple[re.Pattern[str], dict[str, int]]:
    pattern, end = "", 0
    offsets: dict[str, int] = {}
    seen: set[str] = set()
    for place in _PLACE.finditer(template):
        name = place[1]
        pattern += re.escape(template[end : place.start()])
        pattern += f"(?P={name})" if name in seen else f"(?P<{name}>{WORDS if name == WORD else '[0-9]+'})"
        seen.add(name)
        if place[2]:
            offsets[name] = int(place[2])
        end = place.end()
    return re.compile(pattern + re.escape(template[end:])), offsets
