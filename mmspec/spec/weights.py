"""Weights that exist already, as a spec asks for them: of the whole model, or of some of its nodes.

    weights: {file: vit.safetensors, layout: transformers}
    weights: {image: {file: vit.safetensors, layout: transformers}, text: text.safetensors}

Nothing is looked up until a model is built: a spec is valid, has a price and can be drawn without its files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from mmspec.spec.source import Position

WHOLE = ""  # the key of weights that are the whole model's
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
ENDINGS = (".safetensors", ".json", *PICKLED)  # of files; a name on the Hub may have dots too: meta-llama/Llama-3.1-8B


class Weights(BaseModel):
    """A checkpoint. A path is relative to the file that names it; what is no path is a name on the Hub."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    file: str = Field(
        min_length=1, description="a safetensors file, the index of its shards, a folder, or org/name on the Hub"
    )
    layout: str = Field(
        "mmspec", min_length=1, description="whose names it has: mmspec (ours), transformers, transformers/vit, a file"
    )
    nodes: dict[str, str] = Field({}, description="which nodes a layout's words mean, where several would do")
    ignore: tuple[str, ...] = Field((), description="names of theirs to leave out: classifier.*")
    grid: tuple[int, int] | None = Field(
        None, description="rows and columns of their positions, where these are no square"
    )
    pickled: bool = Field(False, description="read a pickled file too, its tensors alone")


def entries(value: Any) -> dict[str, Any]:
    """What is said of each node, by the node's name; `WHOLE` where it is said of all."""
    if isinstance(value, str) or (isinstance(value, Mapping) and not isinstance(value.get("file", {}), Mapping)):
        value = {WHOLE: value}
    return {name: {"file": said} if isinstance(said, str) else said for name, said in value.items()}


def located(weights: Weights, position: Position | None) -> str:
    """Where the file is: beside the one that names it, unless it is named outright or is no path."""
    if position is None or not Path(position.source.name).is_file():
        return weights.file
    beside = Path(position.source.name).parent / weights.file
    return str(beside) if weights.file.endswith(ENDINGS) or _exists(beside) else weights.file


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # no name of a file: who opens it says so
        return False
