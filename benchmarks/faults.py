"""Mistakes that an exporter could make, put into a good file one at a time: how many of them the gates find, and which gate.

The file is that of a small model with a picture, a text, gated fusion, experts and early exits; then the same as stage models. All
must be found. Takes about a minute, most of it the two exports.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "deploy"))

import many_faults
import small_exports as small
import stage_faults

from mmspec.deploy import load_target
from mmspec.deploy.staged import staged_draft_of
from mmspec.deploy.subject import subject_of


def main() -> int:
    draft = small.draft(small.flagship())
    found = report("one file", ((name, replace(draft, proto=f(draft.proto))) for name, f in many_faults.FAULTS.items()))
    staged = staged_draft_of(subject_of(stage_faults.spec()), load_target("edge_cpu_stages"))
    found &= report("stage models", ((f.__name__, replace(staged, files=f(staged.files))) for f in stage_faults.FAULTS))
    return 0 if found else 1


def report(title: str, drafts: Iterable[tuple[str, Any]]) -> bool:
    """Print the gate that found each, and how many were found; whether all were."""
    gates = {name: many_faults.gate_that_finds(draft) for name, draft in drafts}
    for name, gate in gates.items():
        print(f"{title:14} {name:34} {gate or 'NOT FOUND'}", flush=True)
    counts = Counter(gate for gate in gates.values() if gate)
    told = ", ".join(f"{count} by {gate}" for gate, count in counts.items())
    print(f"{title}: {sum(counts.values())} of {len(gates)} found ({told})")
    return sum(counts.values()) == len(gates)


if __name__ == "__main__":
    sys.exit(main())
