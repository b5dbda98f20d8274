"""A package as a function of requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from mmspec.errors import UserError
from mmspec.packaged.layout import DATA
from mmspec.reading.answers import answers_of
from mmspec.reading.preprocessing import FILE, Preprocessing
from mmspec.runtime.opening import open_model
from mmspec.runtime.ports import BadRequest, Contract
from mmspec.runtime.samples import Sample, apart, batches_of, sample_of, stacked

Request = Mapping[str, object]
Result = dict[str, Any]


class Session:
    """A package, loaded once.

    package    the folder that `mmspec export` wrote
    threads    of the runtime, 0 for as many as there are cores
    runtime    `onnxruntime` or `openvino`; what the package was exported for by default
    most       samples of a batch, at most what the contract allows

    Raises   UserError: it is no package, the runtime is not there or cannot open the files.
    """

    def __init__(
        self, package: str | Path, threads: int = 0, runtime: str | None = None, most: int | None = None
    ) -> None:
        folder = Path(package)
        if not isinstance(threads, int) or threads < 0:
            raise UserError(f"threads is a whole number, 0 for as many as there are cores, not {threads!r}")
        if most is not None and most < 1:
            raise UserError(f"a batch has at least one sample, not {most}")
        self.contract = Contract.load(folder)
        self.preprocessing = Preprocessing.load(folder / DATA) if (folder / DATA / FILE).is_file() else None
        told = self.contract.told
        self.runtime = runtime or str(told.get("runtime", "onnxruntime"))
        form, precision = str(told.get("form", "conditions")), str(told.get("precision", "fp32"))
        self._run = open_model(folder, form, self.runtime, precision, threads)
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
        samples = []
        for number, request in enumerate(inputs):
            try:
                samples.append(self.read(request))
            except BadRequest as error:
                raise BadRequest(f"request {number}: {error.name}", error.problem) from error
        return self.run(samples)

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
