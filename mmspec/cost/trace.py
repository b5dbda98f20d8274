"""A schedule as a Chrome trace: what runs when, and how much is alive, for Perfetto or chrome://tracing.

The trace-event format (Google 2016): complete events ("X") with a start `ts` and a duration `dur` in microseconds, nested by time,
and counters ("C"). Operations run one after another in the order of the graph, alike blocks of a stack together; how long each
takes is given from outside and said in the trace: what lower bounds show is no measurement.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmspec.cost.breakdown import bill_of, family
from mmspec.cost.ledger import Entry
from mmspec.cost.timeline import Timeline
from mmspec.cost.timing import Timing

if TYPE_CHECKING:
    from mmspec.cost.profile import Profile

NUMBER = re.compile(r"\.\d+(?=\.|$)")


def trace(price: Profile, timing: Timing, over_time: Timeline) -> str:
    """The trace as JSON text."""
    walk = _Walk(timing)
    order = {node.name: index for index, node in enumerate(price.spec.nodes)}
    walk.events(sorted(bill_of(price).children, key=lambda line: order.get(line.path, -1)))
    names = [
        {"ph": "M", "pid": 1, "tid": 1, "name": "process_name", "args": {"name": price.name}},
        {"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": timing.said}},
    ]
    events = [*names, *walk.found, *_alive(walk.found, over_time)]
    about = {"model": price.name, "durations": timing.said, "sizes": dict(price.sizes)}
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}, allow_nan=False) + "\n"


@dataclass
class _Walk:
    """Events in the order of the schedule."""

    timing: Timing
    found: list[dict[str, Any]] = field(default_factory=list)
    now: float = 0.0  # microseconds

    def events(self, lines: Iterable[Entry], depth: int = 1) -> None:
        for line in lines:
            if line.op is None and depth == self.timing.depth:  # all its runs at once
                self.event(line, 0, depth)
            else:
                for index in range(line.times):
                    self.event(line, index, depth)

    def event(self, line: Entry, index: int, depth: int) -> None:
        start, event = self.now, dict[str, Any]()
        self.found.append(event)  # before what is inside it
        if line.op is None and depth < self.timing.depth:
            self.events(line.children, depth + 1)
        else:
            self.now += 1e6 * self.timing.seconds(line)
        duration = self.now - start
        if duration <= 0:  # a view
            self.found.pop()
            return
        name = line.path.rpartition(".")[2] or line.kind
        numbered = line.times > 1 and depth < self.timing.depth
        event |= {
            "ph": "X", "pid": 1, "tid": 1, "ts": start, "dur": duration, "name": f"{name} {index}" if numbered else name,
            "cat": family(line) if line.op is not None else line.role or "model", "args": _said(line),
        }  # fmt: skip


def _said(line: Entry) -> Mapping[str, Any]:
    work = line.forward
    return {
        "path": line.path, "kind": line.kind, "output": str(list(line.shape)), "flops": work.flops,
        "read": work.read, "written": work.written,
    }  # fmt: skip


def _alive(found: Sequence[Mapping[str, Any]], over_time: Timeline) -> Iterator[dict[str, Any]]:
    """A counter of the bytes that are alive, at the start of every operation that both know, in order."""
    places: dict[tuple[str, str], list[int]] = {}
    for index, event in enumerate(found):
        places.setdefault((NUMBER.sub("", event["args"]["path"]), event["args"]["kind"]), []).append(index)
    last = -1
    for moment in over_time.moments:
        known = places.get((NUMBER.sub("", moment.path), moment.kind), [])
        next_one = bisect_right(known, last)
        if next_one < len(known):
            last = known[next_one]
            yield {"ph": "C", "pid": 1, "ts": found[last]["ts"], "name": "alive", "args": {"bytes": moment.alive}}
