"""Exit rates that a training has measured."""

from __future__ import annotations

import json
from pathlib import Path


def measured_rates(folder: str | Path) -> dict[str, list[float]]:
    """For each halting node, the share of validation examples that left at each exit; empty for a folder that is not of a
    trained model."""
    try:
        metrics = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
        return {node: [row["share"] for row in rows] for node, rows in metrics["validation"]["exits"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
