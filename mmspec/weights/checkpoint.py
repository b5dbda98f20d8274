"""Files of weights: one or sharded, on disk or on the Hub; names and shapes are known before anything is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmspec.errors import UserError
from mmspec.spec.weights import ENDINGS, PICKLED

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Checkpoint:
    """Named tensors of a file, each read when it is asked for."""

    def __init__(self, name: str, homes: Mapping[str, Path], tensors: Mapping[str, Tensor] | None = None) -> None:
        self.name = name
        self.tensors = tensors
        self._homes = homes
        self._open: dict[Path, Any] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        if tensors is not None:
            self.shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        for key, home in homes.items():
            if key not in self._file(home).keys():  # noqa: SIM118
                raise UserError(f"{home} has no tensor {key}, which the index of {name} expects there")
            self.shapes[key] = tuple(self._file(home).get_slice(key).get_shape())

    def read(self, key: str) -> Tensor:
        if self.tensors is not None:
            return self.tensors[key]
        tensor: Tensor = self._file(self._homes[key]).get_tensor(key)
        return tensor

    def _file(self, path: Path) -> Any:
        if path not in self._open:
            self._open[path] = _opened(path)
        return self._open[path]


def open_checkpoint(said: str | Path, pickled: bool = False) -> Checkpoint:
    """What a user's word for weights means: a file, an index of shards, a folder with either, or a name on the Hub.

    Raises   UserError: it is not there, torn, or pickled (unless `pickled`: then torch.load reads tensors and nothing else).
    """
    path = Path(said)
    try:
        there = path.exists()
    except OSError as error:
        raise UserError(f"cannot look for weights at {str(said)[:80]}: {error.strerror}") from error
    if path.is_dir():
        found = [path / name for name in (INDEX, SINGLE) if (path / name).is_file()]
        if not found:
            raise UserError(f"the folder {path} has neither {SINGLE} nor {INDEX}")
        path = found[0]
    if not there:
        if _HUB_NAME.fullmatch(str(said)) and not str(said).endswith(ENDINGS):
            from mmspec.weights.hub import downloaded

            return open_checkpoint(downloaded(str(said)))
        raise UserError(f"there are no weights at {path}")
    if path.suffix in PICKLED or (path.suffix != ".json" and _is_pickle(path)):
        return _unpickled(path, pickled)
    if path.suffix == ".json":
        return Checkpoint(str(path), _shards(path))
    return Checkpoint(str(path), dict.fromkeys(_opened(path).keys(), path))


def _opened(path: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is torn, or no safetensors file: {error}") from error


def _shards(index: Path) -> dict[str, Path]:
    try:
        homes: Any = json.loads(index.read_text())["weight_map"]
        shards = {str(key): index.parent / str(file) for key, file in homes.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index} is no index of shards: it needs a `weight_map` from tensors to files") from error
    outside = {str(path) for path in shards.values() if path.resolve().parent != index.parent.resolve()}
    if outside:
        raise UserError(f"{index} points outside its folder: {', '.join(sorted(outside))}")
    missing = sorted({path.name for path in shards.values() if not path.is_file()})
    if missing:
        raise UserError(f"{index} needs {', '.join(missing)} beside it, which are not there")
    return shards


def _is_pickle(path: Path) -> bool:
    """Whether it begins as torch saves. A safetensors file begins with the length of its header, of any bytes, and `{`."""
    with path.open("rb") as file:
        start = file.read(9)
    return start[8:] != b"{" and (start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05"))


def _unpickled(path: Path, allowed: bool) -> Checkpoint:
    if not allowed:
        raise UserError(
            f"{path} is pickled, and reading a pickle can run what its author wrote into it; mmspec reads safetensors. Save it so: "
            "`safetensors.torch.save_file(state, 'model.safetensors')`, or, where you trust it, say `pickled: true` (--pickled)"
        )
    try:
        with path.open("rb") as file:  # by its content: of a path, torch looks at the name
            found: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path} holds more than tensors, or is torn: {str(error).splitlines()[0]}") from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise UserError(f"{path} is no state dict: it holds something else than named tensors")
    return Checkpoint(str(path), {}, dict(found))
