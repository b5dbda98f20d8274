"""What a training or a calibration has measured on validation: where samples leave, and which experts tokens meet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Measured:
    """exit_rates    for each halting node, the share of examples that left at each exit
    expert_loads  for each module of experts, the share of the tokens' choices that each got; they sum to 1 but for what was dropped
    """

    exit_rates: Mapping[str, Sequence[float]] = field(default_factory=dict)
    expert_loads: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @staticmethod
    def of(validation: Mapping[str, Any]) -> Measured:
        """From the `validation` of metrics.json."""
        return Measured(
            {node: [row["share"] for row in rows] for node, rows in validation.get("exits", {}).items()},
            {name: row["load"] for name, row in validation.get("experts", {}).items()},
        )


def measured(folder: str | Path) -> Measured:
    """Of a folder; nothing where it is not of a trained model."""
    try:
        metrics = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
        return Measured.of(metrics["validation"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Measured()
