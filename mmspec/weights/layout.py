"""Layout files: how the names of another library's checkpoints map to ours, as data."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mmspec.errors import UserError
from mmspec.spec.document import read_document
from mmspec.spec.source import Source

OURS = "mmspec"  # the layout of our own names
FOLDER = Path(__file__).parent
Names = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class NodeRule(_Record):
    """Which node of a spec a layout's word for a node means: the only one of that section and type, that reads this."""

    section: Literal["encoders", "fusion", "decoders", "heads"]
    type: Names = Field(description="types of component")
    reads: Names = Field([], description="what it reads, one of these, by the layout's own words: image.class")

    def __str__(self) -> str:
        reading = f" that reads {' or '.join(self.reads)}" if self.reads else ""
        return f"the only one of {self.section} of type {' or '.join(self.type)}{reading}"


class TensorRule(_Record):
    """What becomes of one of their tensors. Operations apply in this order: unstack, rearrange, split, resize."""

    to: Names = Field([], description="ours; several are parts of theirs, in order along `axis`, as large as ours are")
    unstack: str = Field("", description="a letter: along the first axis, ours are numbered by it")
    rearrange: str = Field("", description="axes by name: in out -> out in")
    axis: int = Field(0, description="the axis that several are parts of")
    resize: Literal["", "grid", "window", "rows"] = Field("", description="how a table of places adapts to other sizes")
    equals: str = Field(
        "",
        description="their other name for the same tensor, where they tie: a file may leave one of the two out, and where "
        "`to` is no parameter of ours, both must be equal",
    )


class JoinRule(_Record):
    """One tensor of ours from several of theirs: in order along `axis`, or with `fold` a weight of its lengths and directions."""

    of: list[str]
    axis: int = 0
    fold: Literal["", "weight_norm"] = Field("", description="what the tensors are, where they are no parts of ours")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.fold and (len(self.of) != 2 or self.axis):
            raise ValueError(f"{self.fold} is of two tensors, lengths and directions, and knows no axis")
        return self


class LayoutFile(_Record):
    """One family: what a file in `mmspec/weights/transformers/` says."""

    source: str = Field(description="whose names these are")
    nodes: dict[str, NodeRule] = Field(description="the words that names of ours begin with")
    prefix: list[str] = Field([], description="what may stand in front of their names, and is taken off")
    older: dict[str, str] = Field({}, description="pieces of names as older checkpoints have them, replaced in order")
    tensors: dict[str, str | TensorRule]
    join: dict[str, JoinRule] = Field({}, description="by our name")
    ignore: dict[str, str] = Field({}, description="theirs that mean nothing here, each with the reason")
    computed: dict[str, str] = Field({}, description="ours that follow from sizes, which a file may leave out")


class Layout:
    """A family's file, with its name and its rules in one form."""

    def __init__(self, name: str, file: LayoutFile) -> None:
        self.name, self.file = name, file
        self.nodes = file.nodes
        self.rules = {
            theirs: TensorRule(to=[ours]) if isinstance(ours, str) else ours for theirs, ours in file.tensors.items()
        }


@cache
def families(library: str = "transformers") -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (FOLDER / library).glob("*.yaml")))


def layouts(said: str) -> list[Layout]:
    """The layouts that a user's word may mean: all families of "transformers", the one of "transformers/vit", a file of the user's.

    Raises   UserError: there is no such layout.   SpecError: the user's file is not one.
    """
    library, _, family = said.partition("/")
    if library == "transformers" and not family:
        return [read(FOLDER / library / f"{name}.yaml", f"{library}/{name}") for name in families()]
    if library == "transformers" and family in families():
        return [read(FOLDER / library / f"{family}.yaml", said)]
    if said.endswith((".yaml", ".yml")):
        return [read(Path(said), said)]
    known = ", ".join(f"transformers/{name}" for name in families())
    raise UserError(
        f"there is no layout {said!r}; there are {OURS} (our own names), transformers, {known}, and files of yours"
    )


@cache
def read(path: Path, name: str) -> Layout:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the layout {path}: {error}") from error
    document: Any = read_document(Source(str(path), text), LayoutFile, "the layout")
    return Layout(name, document.record)
