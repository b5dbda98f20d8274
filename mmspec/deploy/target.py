"""A deployment target: for which device, runtime and precision a model is exported, and how closely it must agree.

device: cpu
runtime: onnxruntime
precision: fp32
opset: 20
exits: conditions
shapes: {batch: {min: 1, max: 256, example: 2}, length: {min: 1, example: 5}}
verify: {batches: [1, 2, 7], tolerance: 1.0e-5, relative: 1.0e-4, margin: 1.0e-4}
"""

from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    field_validator,
    model_validator,
)

from mmspec import shipped
from mmspec.errors import UserError
from mmspec.spec import reader
from mmspec.spec.diagnostics import did_you_mean, listing
from mmspec.spec.document import read_document
from mmspec.spec.source import Source

OPSETS = range(20, 24)  # Gelu is new in 20; 24 would bring Attention, whose masks ONNX Runtime does not broadcast


class Record(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Size(Record):
    """A size that is known only when the file runs."""

    min: PositiveInt = Field(1, description="the smallest that the file takes")
    max: PositiveInt | None = Field(None, description="the largest; what the spec allows by default")
    example: PositiveInt = Field(
        2, description="the size that is traced; none that the model could take for a constant"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"its max {self.max} is below its min {self.min}")
        return self


class Shapes(Record):
    """The ranges of what is dynamic."""

    batch: Size = Field(Size(min=1, max=256, example=2), description="samples at a time")
    length: Size = Field(Size(min=1, example=5), description="tokens of a text, of each text")

    @field_validator("batch")
    @classmethod
    def _bounded(cls, batch: Size) -> Size:
        if batch.max is None:
            raise ValueError("a batch needs a max: no spec limits it")
        return batch


class Tolerance(NamedTuple):
    """A number may be off by the absolute error, or by that share of itself, whichever is more."""

    absolute: float
    relative: float


class Verify(Record):
    """What the proof asks for."""

    batches: list[PositiveInt] = Field(
        [1, 2, 7],
        min_length=1,
        description="batch sizes that are compared, beside the largest that is not too much work",
    )
    tolerance: PositiveFloat = Field(1e-5, description="largest absolute error of a number of any output")
    relative: NonNegativeFloat = Field(
        1e-4, description="largest error as a share of the number, where that is more than `tolerance`"
    )
    margin: PositiveFloat = Field(
        1e-4, description="of a confidence from its threshold, below which runtimes may part over a sample's exit"
    )

    def of(self, output: str, dtype: str) -> Tolerance:
        """What an output may be off by: numbers by their tolerance; exits, ids and masks not at all."""
        return Tolerance(self.tolerance, self.relative) if dtype == "float32" else Tolerance(0.0, 0.0)


class Target(Record):
    """The file, as it is written."""

    device: Literal["cpu"] = Field(description="where it runs")
    runtime: Literal["onnxruntime"] = Field(description="what runs it")
    precision: Literal["fp32"] = Field(description="of weights and arithmetic")
    opset: int = Field(20, description="version of the ONNX operators")
    exits: Literal["conditions", "stages"] = Field(
        "conditions",
        description="early exits as conditions inside of one file, or as one file for each, which a host runs",
    )
    shapes: Shapes = Field(default_factory=Shapes, description="ranges of the dynamic sizes")
    verify: Verify = Field(default_factory=Verify, description="how closely the file must agree with torch")

    _file: str = PrivateAttr("<target>")

    @field_validator("opset")
    @classmethod
    def _has_the_operators(cls, opset: int) -> int:
        if opset < OPSETS.start:
            raise ValueError(f"opset {opset} is too old: Gelu needs {OPSETS.start}, which ONNX Runtime >= 1.17 reads")
        if opset >= OPSETS.stop:
            raise ValueError(f"opset {opset} is newer than what is verified here, {OPSETS.start} to {OPSETS.stop - 1}")
        return opset

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        batch = self.shapes.batch
        outside = [b for b in self.verify.batches if not batch.min <= b <= (batch.max or b)]
        if outside:
            raise ValueError(f"verify.batches has {outside[0]}, and shapes.batch is {batch.min} to {batch.max}")
        return self

    @property
    def name(self) -> str:
        """The file's, without its ending."""
        return Path(self._file).stem


def load_target(path: str | Path) -> Target:
    """A target by path, or by the name of a shipped one (`edge_cpu_fp32`).

    Raises   SpecError: everything that is wrong with the file, located.   UserError: there is no such target.
    """
    path = str(path)
    if not Path(path).exists():
        packaged = shipped.find("export", path)
        if packaged is None:
            known = shipped.names("export")
            raise UserError(
                f"there is no target {path!r}{did_you_mean(Path(path).stem, known)}; shipped are: {listing(known)}"
            )
        path = str(packaged)
    return _target(reader.read_file(path))


def read_target(text: str, origin: str = "<target>") -> Target:
    """The same from text."""
    return _target(reader.read_text(text, origin))


def _target(source: Source) -> Target:
    target = read_document(source, Target, "the target").record
    target._file = source.name
    return target
