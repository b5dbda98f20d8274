"""Outputs of frozen encoders, computed once for each input and shared by all trainings that have the same encoder.

A frozen encoder gives the same outputs for the same input, whatever else is trained. Where nothing in it is random, they are kept
by what makes them: a folder for each encoder (its code and its weights), and in it files of rows, each with the digests of the
inputs that it has outputs of. Files are written whole and never changed, so that any number of trainings share a folder without
locks; two that meet the same input at the same time both keep it, which costs space alone. Rows are memory-mapped.

What an encoder computes for one sample must not depend on the others of its batch, nor on whether it trains: both are tried on the
first batch, and an encoder that fails is run as ever, with a note that says why.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from mmspec.backend.runtime import DropPath, Experts, Loop, Stages

if TYPE_CHECKING:
    from mmspec.data import Dataset
    from mmspec.spec import ModelSpec
    from mmspec.training.recipe import Recipe

TOLERANCE = 1e-4  # of outputs near 1, between one batch and another: sums in another order, and nothing else
MOST_HELD = 64 * 2**20  # bytes in memory before they are written
AGREES = 4  # samples of the first batch that are computed alone as well

Rows = tuple[Tensor, ...]


@dataclass
class Kept:
    """Rows of one encoder for inputs of one shape: what files have, and what was computed since."""

    folder: Path
    files: list[np.ndarray[Any, Any]] = field(default_factory=list)
    places: dict[bytes, tuple[int, int]] = field(default_factory=dict)  # digest -> file, row
    fresh: dict[bytes, np.ndarray[Any, Any]] = field(default_factory=dict)
    held: int = 0  # bytes of what is fresh

    @staticmethod
    def open(folder: Path) -> Kept:
        kept = Kept(folder)
        for path in sorted(folder.glob("*.keys.npy")):
            rows = path.with_name(path.name.replace(".keys.npy", ".npy"))
            try:
                keys, mapped = np.load(path), np.load(rows, mmap_mode="r")
            except (OSError, ValueError):
                continue  # of another version, or torn by the system: it is computed again
            kept.places |= {key.tobytes(): (len(kept.files), i) for i, key in enumerate(keys[: len(mapped)])}
            kept.files.append(mapped)
        return kept

    def __contains__(self, key: bytes) -> bool:
        return key in self.fresh or key in self.places

    def row(self, key: bytes) -> np.ndarray[Any, Any]:
        if key in self.fresh:
            return self.fresh[key]
        file, row = self.places[key]
        found: np.ndarray[Any, Any] = self.files[file][row]
        return found

    def write(self) -> None:
        """What is fresh, into a file of its own; its keys last, because a file without them is none."""
        if not self.fresh:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{os.getpid()}-{len(self.files)}-{os.urandom(4).hex()}"
        keys = np.frombuffer(b"".join(self.fresh), np.uint8).reshape(len(self.fresh), -1)
        for array, suffix in ((np.stack(list(self.fresh.values())), ".npy"), (keys, ".keys.npy")):
            half = self.folder / f".{name}{suffix}"
            with half.open("wb") as file:
                np.save(file, array)
            half.replace(self.folder / f"{name}{suffix}")
        self.places |= {key: (len(self.files), i) for i, key in enumerate(self.fresh)}
        self.files.append(np.load(self.folder / f"{name}.npy", mmap_mode="r"))
        self.fresh.clear()
        self.held = 0


class Remembering:
    """The forward of one frozen encoder, that computes only what was never computed."""

    def __init__(self, encoder: nn.Module, folder: Path) -> None:
        self.compute: Callable[..., Any] = encoder.forward
        self.folder = folder / _digest(encoder)
        self.kept: dict[str, Kept] = {}
        self.computed = self.answered = 0

    def __call__(self, *inputs: Tensor) -> Tensor:
        shape = "_".join("x".join(map(str, each.shape[1:])) or "1" for each in inputs)
        if shape not in self.kept:
            self.kept[shape] = Kept.open(self.folder / shape)
        kept, keys = self.kept[shape], _keys(inputs)
        missing = list({key: i for i, key in enumerate(keys) if key not in kept}.values())
        if missing:
            some = torch.tensor(missing)
            with torch.no_grad():
                made = self.compute(*(each[some] for each in inputs)).numpy()
            kept.fresh |= {keys[i]: row.copy() for i, row in zip(missing, made, strict=True)}
            kept.held += made.nbytes
            if kept.held > MOST_HELD:
                kept.write()
        self.computed += len(missing)
        self.answered += len(keys) - len(missing)
        return torch.from_numpy(np.stack([kept.row(key) for key in keys]))

    def write(self) -> None:
        for kept in self.kept.values():
            kept.write()


@contextmanager
def shared_features(
    folder: Path | None, spec: ModelSpec, module: nn.Module, data: Dataset, recipe: Recipe
) -> Iterator[tuple[str, ...]]:
    """Within it, the frozen encoders of a module answer from `folder`; gives notes of those that do not, and why. None keeps
    nothing."""
    notes: list[str] = []
    remembering: dict[str, Remembering] = {}
    frozen = [
        node.name
        for node in spec.nodes  # what is an average of another changes with it
        if folder is not None and node.path.startswith("encoders.") and _stands(node.component)
    ]
    inputs = _met(module, frozen, data, recipe.seed, recipe.batch) if frozen else {}
    for name in frozen:
        encoder = module.get_submodule(name)
        met = inputs.get(name, ())
        rounded = "" if recipe.precision == "fp32" else f"training computes in {recipe.precision}, and measures in fp32"
        if reason := rounded or _varied(data, met) or _unsteady(encoder, met):
            notes.append(f"{name} is frozen, but its outputs are not kept: {reason}")
            continue
        assert folder is not None
        remembering[name] = Remembering(encoder, folder)
        encoder.forward = remembering[name]  # of this instance: names of weights stay what they are
    try:
        yield tuple(notes)
    finally:
        for name, each in remembering.items():
            del module.get_submodule(name).forward
            each.write()


def _stands(component: Any) -> bool:
    return bool(component.frozen) and component.average_of is None


def _met(module: nn.Module, names: list[str], data: Dataset, seed: int, batch: int) -> dict[str, Rows]:
    """What each encoder is given for the first batch."""
    found: dict[str, Rows] = {}
    hooks = [
        module.get_submodule(name).register_forward_pre_hook(
            lambda _, given, name=name: found.setdefault(name, given) and None
        )
        for name in names
    ]
    was = module.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            module.eval()(**data.training_batch(0, batch, seed).inputs)
    finally:
        module.train(was)
        for hook in hooks:
            hook.remove()
    return found


def _varied(data: Dataset, inputs: Rows) -> str:
    """Texts are what they are; what is measured may vary."""
    measured = any(isinstance(each, Tensor) and each.is_floating_point() for each in inputs)
    return (
        "what it reads varies from step to step (augment: 0 turns that off)"
        if measured and data.describe().get("augment")
        else ""
    )


def _unsteady(encoder: nn.Module, inputs: Rows) -> str:
    """Why the outputs for an input are not always the same; empty where they are."""
    for part in encoder.modules():
        if isinstance(part, nn.Dropout | DropPath) and part.p > 0:
            return "it has dropout"
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            return "it normalises by the batch"
        if isinstance(part, Stages | Loop | Experts):
            return "what a sample costs in it is measured"
    if any(parameter.requires_grad for parameter in encoder.parameters()):
        return "some of its weights are trained elsewhere"
    if not inputs or not all(isinstance(each, Tensor) for each in inputs):
        return "it is given more than tensors"
    was = encoder.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            plain = encoder.eval()(*inputs)
            if not isinstance(plain, Tensor) or plain.dtype != torch.float32 or len(plain) != len(inputs[0]):
                return "it has several outputs"
            alone = encoder(*(each[:AGREES] for each in inputs))
            if not torch.equal(encoder.train()(*inputs), plain):
                return "it is random in training"
            if not torch.allclose(alone, plain[:AGREES], rtol=TOLERANCE, atol=TOLERANCE):
                return "what it says of a sample depends on the others of the batch"
    finally:
        encoder.train(was)
    return ""


def _keys(inputs: Rows) -> list[bytes]:
    """A digest for each sample."""
    rows = [np.ascontiguousarray(each.detach().numpy()) for each in inputs]
    return [
        hashlib.blake2b(b"".join(each[i].tobytes() for each in rows), digest_size=16).digest()
        for i in range(len(rows[0]))
    ]


def _digest(encoder: nn.Module) -> str:
    """Of what makes its outputs: its operations and its weights."""
    found = hashlib.blake2b(digest_size=16)
    for name, part in encoder.named_modules():
        code = part.code if isinstance(part, fx.GraphModule) else repr(part)
        found.update(json.dumps([name, code]).encode())
    for name, tensor in (*encoder.named_parameters(), *encoder.named_buffers()):
        found.update(name.encode())
        found.update(np.ascontiguousarray(tensor.detach().numpy()).tobytes())
    return found.hexdigest()
