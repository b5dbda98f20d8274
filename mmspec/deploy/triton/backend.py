"""The model as Triton runs it: the host loop, whose files are other models of the same server.

Lies as 1/model.py in a model of Triton's Python backend, beside host.py, stages.json and models.json, which says by which names the
server knows the files and what goes in and out of each. Needs numpy; Triton itself gives triton_python_backend_utils.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from host import Host

HERE = Path(__file__).resolve().parent
Arrays = dict[str, Any]


class TritonPythonModel:
    """Requests of equal shapes are put together, computed, and taken apart; each sample leaves at its own exit."""

    def initialize(self, args: Mapping[str, str]) -> None:
        told = json.loads(args["model_config"])
        self.inputs = [port["name"] for port in told["input"]]
        self.outputs = [port["name"] for port in told["output"]]
        plan = json.loads((HERE / "stages.json").read_text(encoding="utf-8"))
        models = json.loads((HERE / "models.json").read_text(encoding="utf-8"))
        self.host = Host(plan, {file: stage(**model) for file, model in models.items()})

    def execute(self, requests: list[Any]) -> list[Any]:
        alike: dict[Any, list[tuple[int, Arrays]]] = {}
        for number, request in enumerate(requests):
            arrays = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            alike.setdefault(tuple(array.shape[1:] for array in arrays.values()), []).append((number, arrays))
        responses: list[Any] = [None] * len(requests)
        for members in alike.values():
            for number, response in self.answers(members):
                responses[number] = response
        return responses

    def answers(self, members: list[tuple[int, Arrays]]) -> list[tuple[int, Any]]:
        """The response of each; of a batch that failed, each says why."""
        sizes = [len(arrays[self.inputs[0]]) for _, arrays in members]
        try:
            found = self.host({name: np.concatenate([arrays[name] for _, arrays in members]) for name in self.inputs})
        except Exception as error:
            failed = pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(str(error)))
            return [(number, failed) for number, _ in members]
        ends = np.cumsum(sizes)
        return [
            (number, response({name: found[name][end - size : end] for name in self.outputs}))
            for (number, _), size, end in zip(members, sizes, ends, strict=True)
        ]


def stage(name: str, inputs: list[str], outputs: list[str]) -> Callable[[Mapping[str, Any]], Arrays]:
    """A file that the server runs, as the function that the host expects."""

    def run(values: Mapping[str, Any]) -> Arrays:
        request = pb_utils.InferenceRequest(
            model_name=name,
            requested_output_names=outputs,
            inputs=[pb_utils.Tensor(each, np.ascontiguousarray(values[each])) for each in inputs],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        answer = request.exec()
        if answer.has_error():
            raise pb_utils.TritonModelException(f"{name}: {answer.error().message()}")
        return {each: pb_utils.get_output_tensor_by_name(answer, each).as_numpy() for each in outputs}

    return run


def response(arrays: Arrays) -> Any:
    return pb_utils.InferenceResponse(
        output_tensors=[pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in arrays.items()]
    )
