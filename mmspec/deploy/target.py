"""A deployment target: for which device, runtime and precision a model is exported, and how closely it must agree.

device: cpu
runtime: onnxruntime
precision: fp32
opset: 20
exits: conditions
decoding: none
shapes: {batch: {min: 1, max: 256, example: 2}, length: {min: 1, example: 5}}
verify: {batches: [1, 2, 7], tolerance: 1.0e-5, relative: 1.0e-4, margin: 1.0e-4}
"""

from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mmspec import shipped
from mmspec.deploy.precision.options import OUTPUTS, POSSIBLE, QUANTISED, TOKENS, Loss, Measure, Quantisation
from mmspec.deploy.record import Record
from mmspec.deploy.tensorrt.options import TensorRT
from mmspec.deploy.triton.options import Serving
from mmspec.errors import UserError
from mmspec.spec import reader
from mmspec.spec.diagnostics import Diagnostic, did_you_mean, listing
from mmspec.spec.document import read_document
from mmspec.spec.source import Source

OPSETS = range(20, 24)  # Gelu is new in 20; 24 would bring Attention, whose masks ONNX Runtime does not broadcast


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


class Deviation(Record):
    """What an output may be off by."""

    tolerance: PositiveFloat = Field(description="largest absolute error of a number")
    relative: NonNegativeFloat = Field(
        0.0, description="largest error as a share of the number, where that is more than `tolerance`"
    )

    def times(self, factor: float) -> "Deviation":
        return Deviation(tolerance=factor * self.tolerance, relative=factor * self.relative)


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
    outputs: dict[str, Deviation] = Field(
        default_factory=dict, description="what these outputs may be off by, by name, in place of the two above"
    )
    second_opinion: bool = Field(
        True, description="an fp32 file is compared in OpenVINO as well, where that is installed"
    )
    margin: PositiveFloat = Field(
        1e-4, description="of a confidence from its threshold, below which runtimes may part over a sample's exit"
    )
    lead: PositiveFloat = Field(
        1e-5,
        description="of an expert's probability over the next one's, below which runtimes may part over a token's expert; of a "
        "kept token's importance over the next one's, as a share",
    )

    def of(self, output: str, dtype: str) -> Tolerance:
        """What an output may be off by: numbers by their tolerance; exits, ids and masks not at all."""
        if dtype != "float32":
            return Tolerance(0.0, 0.0)
        own = self.outputs.get(output, self)
        return Tolerance(own.tolerance, own.relative)


class Target(Record):
    """The file, as it is written."""

    device: Literal["cpu", "cuda"] = Field(description="where it runs")
    runtime: Literal["onnxruntime", "openvino", "tensorrt"] = Field(description="what runs it")
    precision: Literal["fp32", "fp16", "bf16", "int8", "int4"] = Field(description="of weights and arithmetic")
    opset: int = Field(20, description="version of the ONNX operators")
    exits: Literal["conditions", "stages"] = Field(
        "conditions",
        description="early exits as conditions inside of one file, or as one file for each, which a host runs; a model that nobody "
        "leaves early is one file either way",
    )
    decoding: Literal["none", "cache"] = Field(
        "none",
        description="a text that is written: computed as a whole at every step, or token by token from kept keys and values",
    )
    weights: Literal["inside", "beside"] = Field(
        "inside",
        description="in the ONNX files, or in one file beside them, which holds once what several share; always so where one file "
        "would be more than 2 GB",
    )
    shapes: Shapes = Field(default_factory=Shapes, description="ranges of the dynamic sizes")
    verify: Verify = Field(default_factory=Verify, description="how closely the file must agree with torch")

    quantisation: Quantisation = Field(default_factory=Quantisation, description="of int8 and int4")
    loss: Loss = Field(default_factory=Loss, description="what fewer bits than float32 may cost")
    measure: Measure = Field(default_factory=Measure, description="what is timed")
    tensorrt: TensorRT | None = Field(None, description="which TensorRT; asked for where it is what runs the file")
    serving: Serving | None = Field(None, description="what serves the model")

    _file: str = PrivateAttr("<target>")
    _text: str = PrivateAttr("")  # of the file, where it was read from one

    @field_validator("runtime")
    @classmethod
    def _runs_there(cls, runtime: str, info: ValidationInfo) -> str:
        device = info.data.get("device")
        devices = [where for where, what in POSSIBLE if what == runtime]
        if device is not None and device not in devices:
            raise ValueError(f"{runtime} runs here on: {listing(devices)}, found device: {device}")
        return runtime

    @field_validator("precision")
    @classmethod
    def _can_do(cls, precision: str, info: ValidationInfo) -> str:
        device, runtime = info.data.get("device"), info.data.get("runtime")
        if device is not None and runtime is not None and precision not in POSSIBLE[device, runtime]:
            raise ValueError(f"{runtime} on a {device} does {listing(POSSIBLE[device, runtime])}, not {precision}")
        return precision

    @field_validator("weights")
    @classmethod
    def _lie_there(cls, weights: str, info: ValidationInfo) -> str:
        if weights == "beside" and info.data.get("runtime") == "tensorrt":
            raise ValueError("an engine is built of a file that has its weights inside")
        return weights

    @field_validator("quantisation")
    @classmethod
    def _is_quantised(cls, options: Quantisation, info: ValidationInfo) -> Quantisation:
        runtime, precision = info.data.get("runtime"), info.data.get("precision")
        if precision is not None and precision not in QUANTISED:
            raise ValueError(f"it is of {listing(QUANTISED)}, found precision: {precision}")
        if precision == "int4" and options.activations is not None:
            raise ValueError("int4 is of weights alone, and has no activations")
        if runtime not in (None, "onnxruntime") and options.activations == "dynamic":
            raise ValueError(f"{runtime} reads static activations, whose ranges are in the file")
        return options

    @field_validator("loss")
    @classmethod
    def _may_lose(cls, loss: Loss, info: ValidationInfo) -> Loss:
        if info.data.get("precision") == "fp32":
            raise ValueError("fp32 loses nothing but rounding, which is verify.tolerance")
        return loss

    @field_validator("tensorrt")
    @classmethod
    def _is_what_runs(cls, options: TensorRT | None, info: ValidationInfo) -> TensorRT | None:
        if options is not None and info.data.get("runtime", "tensorrt") != "tensorrt":
            raise ValueError(f"tensorrt is read where it is the runtime, found runtime: {info.data['runtime']}")
        return options

    @field_validator("serving")
    @classmethod
    def _batches_from_one(cls, serving: Serving | None, info: ValidationInfo) -> Serving | None:
        batch = info.data["shapes"].batch if "shapes" in info.data else None
        if serving is None or serving.triton is None or batch is None:
            return serving
        if batch.min > 1 and batch.min != batch.max:
            raise ValueError(f"Triton's batches begin at 1, and shapes.batch at {batch.min}")
        beyond = [each for each in serving.triton.preferred_batches if each > (batch.max or each)]
        if beyond:
            raise ValueError(f"triton.preferred_batches has {beyond[0]}, and shapes.batch ends at {batch.max}")
        return serving

    @property
    def activations(self) -> str:
        """How what layers read becomes int8: dynamic or static."""
        return self.quantisation.activations or ("dynamic" if self.runtime == "onnxruntime" else "static")

    @property
    def measured_batches(self) -> list[int]:
        """Batch sizes that are timed: those that were asked for, or the smallest."""
        return self.measure.batches if "measure" in self.model_fields_set else [self.shapes.batch.min]

    @property
    def allowed(self) -> float:
        """The largest error of an output in fewer bits, as a share of its norm."""
        return self.loss.outputs or OUTPUTS[self.precision]

    @property
    def other_tokens(self) -> float:
        """The largest share of tokens of written texts that would be others in fewer bits."""
        return TOKENS[self.precision] if self.loss.tokens is None else self.loss.tokens

    @field_validator("opset")
    @classmethod
    def _has_the_operators(cls, opset: int) -> int:
        if opset < OPSETS.start:
            raise ValueError(f"opset {opset} is too old: Gelu needs {OPSETS.start}, which ONNX Runtime >= 1.17 reads")
        if opset >= OPSETS.stop:
            raise ValueError(f"opset {opset} is newer than what is verified here, {OPSETS.start} to {OPSETS.stop - 1}")
        return opset

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if self.runtime == "tensorrt" and self.tensorrt is None:
            raise ValueError('runtime: tensorrt needs to know which: tensorrt: {version: "10.3"}')
        return self

    @model_validator(mode="after")
    def _writes(self) -> Self:
        if self.decoding == "none":
            return self
        if self.exits == "stages":
            raise ValueError("a host runs stages or writes a text: with decoding: cache, exits are conditions")
        if self.shapes.batch.min > 1 or self.shapes.length.min > 1:
            raise ValueError("what is written begins with any number of tokens, and samples leave the batch: min is 1")
        if self.runtime == "tensorrt" or self.serving is not None:
            raise ValueError(
                "decoding: cache is for ONNX Runtime and OpenVINO, whose files are run by a loop of their own"
            )
        return self

    @model_validator(mode="after")
    def _batches_fit(self) -> Self:
        batch = self.shapes.batch
        outside = [b for b in self.verify.batches if not batch.min <= b <= (batch.max or b)]
        if outside:
            raise ValueError(f"verify.batches has {outside[0]}, and shapes.batch is {batch.min} to {batch.max}")
        if "measure" in self.model_fields_set:
            beyond = [b for b in self.measure.batches if not batch.min <= b <= (batch.max or b)]
            if beyond:
                raise ValueError(f"measure.batches has {beyond[0]}, and shapes.batch is {batch.min} to {batch.max}")
        return self

    @property
    def name(self) -> str:
        """The file's, without its ending."""
        return Path(self._file).stem

    def diagnostic(self, path: tuple[str, ...], message: str, *notes: str) -> Diagnostic:
        """A mistake at a key of the file, such as `("verify", "outputs", "label")`."""
        if not self._text:
            return Diagnostic(message, notes=notes, file=self._file)
        document = read_document(Source(self._file, self._text), Target, "the target")
        return document.diagnostic(path, message, *notes, at_key=True)


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
    target._file, target._text = source.name, source.text
    return target
