"""A package as a function of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from mmspec.errors import UserError
from mmspec.packaged.layout import DATA
from mmspec.reading.answers import answers_of
from mmspec.reading.preprocessing import FILE, Preprocessing
from mmspec.reading.text import Tokenizer
from mmspec.runtime.opening import open_model
from mmspec.runtime.ports import BadRequest, Contract
from mmspec.runtime.samples import Sample, apart, batches_of, sample_of, stacked
from mmspec.runtime.writing import TOKENS, Beginning, answer_of, beginning_of, texts_of, tokenizer_of
from mmspec.writer import Writer

Request = Mapping[str, object]
Result = dict[str, Any]
T = TypeVar("T")


class Session:
    """A package, loaded once.

    package    the folder that `mmspec export` wrote
    threads    of the runtime, 0 for as many as there are cores
    runtime    `onnxruntime` or `openvino`; what the package was exported for by default
    device     `cpu` or `cuda`, of ONNX Runtime; what the package was exported for by default
    most       samples of a batch, at most what the contract allows

    Raises   UserError: it is no package, the runtime or the device is not there, or cannot open the files.
    """

    def __init__(
        self, package: str | Path, threads: int = 0, runtime: str | None = None, most: int | None = None, device: str | None = None
    ) -> None:  # fmt: skip
        folder = Path(package)
        if not isinstance(threads, int) or threads < 0:
            raise UserError(f"threads is a whole number, 0 for as many as there are cores, not {threads!r}")
        if most is not None and most < 1:
            raise UserError(f"a batch has at least one sample, not {most}")
        self.contract = Contract.load(folder)
        self.preprocessing = Preprocessing.load(folder / DATA) if (folder / DATA / FILE).is_file() else None
        told = self.contract.told
        self.runtime = runtime or str(told.get("runtime", "onnxruntime"))
        self.device = device or ("cpu" if self.runtime == "openvino" else str(told.get("device", "cpu")))
        form, precision = str(told.get("form", "conditions")), str(told.get("precision", "fp32"))
        self._run = open_model(folder, form, self.runtime, self.device, precision, threads)
        self.most = min(most or self.contract.batch[1], self.contract.batch[1])

    @overload
    def __call__(self, inputs: Request) -> Result: ...

    @overload
    def __call__(self, inputs: Sequence[Request]) -> list[Result]: ...

    def __call__(self, inputs: Request | Sequence[Request]) -> Result | list[Result]:
        """Of one request or of several, which share batches: `outputs`, arrays by name without the batch, and `answers`, by head
        what they say (`mmspec.reading.answers`), where the package knows what the classes are called.

        inputs   by name, as `mmspec.runtime.samples.sample_of` takes them

        Raises   BadRequest: with the input's name; of several requests, with the number of the first that is wrong.
        """
        if isinstance(inputs, Mapping):
            return self.run([self.read(inputs)])[0]
        return self.run(_each(self.read, inputs))

    @overload
    def write(self, inputs: Request, tokens: int = TOKENS) -> Result: ...

    @overload
    def write(self, inputs: Sequence[Request], tokens: int = TOKENS) -> list[Result]: ...

    def write(self, inputs: Request | Sequence[Request], tokens: int = TOKENS) -> Result | list[Result]:
        """How one text goes on, or several, which share batches; the likeliest token each time: `text`, where the package has what
        reads it, its `ids`, and whether the model `ended` it, rather than ran out of tokens or room.

        inputs   by name, as above; of the text that is written, its beginning: nothing where texts have a start
        tokens   that are written at most, of each

        Raises   UserError: the package does not write.   BadRequest: as above, or there is nothing to go on from, or no room.
        """
        if isinstance(inputs, Mapping):
            return self.go_on([self.begin(inputs, tokens)])[0]
        return self.go_on(_each(lambda request: self.begin(request, tokens), inputs))

    @property
    def writer(self) -> Writer | None:
        """What writes, where the package does."""
        return self._run if isinstance(self._run, Writer) else None

    def read(self, request: Request) -> Sample:
        """The half that needs no model: preprocessing and checks.   Raises BadRequest"""
        return sample_of(request, self.contract, self.preprocessing)

    def run(self, samples: Sequence[Sample]) -> list[Result]:
        """The half that needs the model; a result for each sample, in their order."""
        found: list[Result] = [{} for _ in samples]
        for group in batches_of(samples, self.contract, self.most):
            chosen = [samples[number] for number in group]
            outputs = apart(self._run(stacked(chosen, self.contract)), chosen, self.contract)
            for number, each in zip(group, outputs, strict=True):
                known = self.preprocessing
                found[number] = {"outputs": each, "answers": answers_of(each, known) if known else {}}
        return found

    def begin(self, request: Request, tokens: object = TOKENS) -> Beginning:
        """Of what is written, the half that needs no model.   Raises UserError, BadRequest"""
        writer = self._writes
        return beginning_of(self.read(request), tokens, writer)

    def go_on(self, beginnings: Sequence[Beginning], wanted: Callable[[], bool] = lambda: True) -> list[Result]:
        """The half that needs the model; a text for each beginning, in their order. It stops when they are no longer `wanted`."""
        texts = texts_of(beginnings, self._writes, self.contract, self.most, wanted)
        return [answer_of(ids, each, self.tokenizer) for ids, each in zip(texts, beginnings, strict=True)]

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Of the text that is written, where the package has it."""
        return tokenizer_of(self.preprocessing, self._writes.text)

    @property
    def _writes(self) -> Writer:
        if self.writer is None:
            raise UserError("the package does not write a text: export the model for a target with decoding: cache")
        return self.writer


def _each(read: Callable[[Request], T], requests: Sequence[Request]) -> list[T]:
    found = []
    for number, request in enumerate(requests):
        try:
            found.append(read(request))
        except BadRequest as error:
            raise BadRequest(f"request {number}: {error.name}", error.problem) from error
    return found
