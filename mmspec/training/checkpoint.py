"""A run that can go on: one safetensors file with weights, optimizer and losses, and the rest as JSON in its header.

One file, replaced whole, so that weights and step can never be of different moments. Nothing in it is code: no pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mmspec.errors import UserError
from mmspec.files import write_atomically

FILE = "checkpoint.safetensors"
FORMAT = 2


@dataclass
class Checkpoint:
    """The state between two steps.

    step       steps that are done
    fingerprint  what the run depends on: the spec and the recipe, as plain data
    losses     f64[step], the total loss of each step
    history    a row for each validation
    best       the step and accuracy of `best_weights`, if the recipe keeps the best
    """

    step: int
    fingerprint: dict[str, Any]
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    losses: Tensor
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Replace the folder's checkpoint."""
        groups = {"weights": self.weights, "optimizer": self.optimizer, "best": self.best_weights}
        tensors = {f"{group}:{name}": t.detach().clone() for group, part in groups.items() for name, t in part.items()}
        header = {
            "format": FORMAT,
            "step": self.step,
            "fingerprint": self.fingerprint,
            "history": self.history,
            "seconds": self.seconds,
            "best": self.best,
        }
        write_atomically(folder / FILE, save({**tensors, "losses": self.losses}, {"mmspec": json.dumps(header)}))

    @staticmethod
    def read(folder: Path) -> Checkpoint:
        """The folder's checkpoint.

        Raises   UserError: there is none, or it is not ours.
        """
        path = folder / FILE
        if not path.is_file():
            raise UserError(f"there is no unfinished run in {folder} (no {FILE})")
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})["mmspec"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            if header["format"] != FORMAT:
                raise UserError(f"{path} was written by another version of mmspec; train again")
            parts: dict[str, dict[str, Tensor]] = {"weights": {}, "optimizer": {}, "best": {}}
            losses = tensors.pop("losses")
            for key, tensor in tensors.items():
                group, name = key.split(":", 1)
                parts[group][name] = tensor
            return Checkpoint(
                header["step"], header["fingerprint"], parts["weights"], parts["optimizer"], losses,
                header["history"], header["seconds"], header["best"], parts["best"],
            )  # fmt: skip
        except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
            raise UserError(f"{path} is not a checkpoint that mmspec wrote, or it is damaged: {error}") from error


def check_same_run(saved: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Raise UserError, naming what differs, unless a checkpoint belongs to this spec and recipe."""
    differences = list(_differences(saved, now))
    if differences:
        shown = "; ".join(differences[:5]) + (f"; and {len(differences) - 5} more" if len(differences) > 5 else "")
        raise UserError(f"{folder} holds a run of another spec or recipe: {shown}; change it back, or train anew")


def _differences(saved: Any, now: Any, path: str = "") -> Any:
    if isinstance(saved, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*saved, *now]):
            yield from _differences(saved.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif isinstance(saved, list) and isinstance(now, list) and len(saved) == len(now):
        for index, (one, other) in enumerate(zip(saved, now, strict=True)):
            yield from _differences(one, other, f"{path}.{index}")
    elif saved != now:
        yield f"{path} was {saved!r:.40}, now {now!r:.40}"


def all_finite(tensors: dict[str, Tensor]) -> bool:
    """Whether no weight is NaN or infinite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values() if tensor.is_floating_point())
