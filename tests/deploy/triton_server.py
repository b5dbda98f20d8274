"""What Triton gives a model in Python: `triton_python_backend_utils`, with the models of a repository run by ONNX Runtime.

A harness for tests: names and arguments are those of github.com/triton-inference-server/python_backend (README, Business Logic
Scripting); what is behind them are the real files.
"""

import sys
import types
from pathlib import Path

import numpy as np

from mmspec.deploy.triton.config import parse
from mmspec.host import session

NUMPY = {"TYPE_FP32": np.float32, "TYPE_INT64": np.int64, "TYPE_BOOL": np.bool_, "TYPE_FP16": np.float16}


class Tensor:
    def __init__(self, name, array):
        self._name, self.array = name, array

    def name(self):
        return self._name

    def as_numpy(self):
        return self.array


class TritonError:
    def __init__(self, message):
        self._message = message

    def message(self):
        return self._message


class TritonModelException(Exception):
    pass


class InferenceResponse:
    def __init__(self, output_tensors, error=None):
        self._tensors, self._error = output_tensors, error

    def output_tensors(self):
        return self._tensors

    def has_error(self):
        return self._error is not None

    def error(self):
        return self._error


class Request:
    def __init__(self, arrays):
        self.tensors = [Tensor(name, array) for name, array in arrays.items()]


class Server:
    """The models of a repository that hold an ONNX file, by name, checked against their configuration as Triton would."""

    def __init__(self, repository):
        self.repository, self.calls = Path(repository), []
        self.runs = {
            path.parent.parent.name: session(str(path), threads=1) for path in self.repository.glob("*/1/model.onnx")
        }
        self.configs = {path.parent.name: parse(path.read_text()) for path in self.repository.glob("*/config.pbtxt")}

    def warm_up(self, name):
        """The first run, which Triton makes from what lies in warmup/."""
        config = self.configs[name]
        (sample,) = config.model_warmup
        given = {}
        for port in config.input:
            told = sample.inputs[port.name]
            shape = [sample.batch_size] * (config.max_batch_size > 0) + list(told.dims)
            data = (self.repository / name / "warmup" / told.input_data_file).read_bytes()
            kind = NUMPY[
                type(told).DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[told.data_type].name
            ]
            array = np.frombuffer(data, kind).reshape(shape)
            given[port.name] = array.reshape(shape[:1]) if port.HasField("reshape") else array
        return self.runs[name](given)

    def model(self, name):
        """The model in Python, initialised."""
        sys.modules["triton_python_backend_utils"] = self.utils()
        folder = self.repository / name / "1"
        sys.path.insert(0, str(folder))
        sys.modules.pop("host", None)
        scope = {"__file__": str(folder / "model.py"), "__name__": "model"}
        try:
            exec(compile((folder / "model.py").read_text(), "model.py", "exec"), scope)
        finally:
            sys.path.remove(str(folder))
            sys.modules.pop("host", None)
            del sys.modules["triton_python_backend_utils"]
        model = scope["TritonPythonModel"]()
        from google.protobuf import json_format

        told = json_format.MessageToJson(self.configs[name], preserving_proto_field_name=True)
        model.initialize({"model_config": told})
        return model

    def utils(self):
        server = self

        class InferenceRequest:
            def __init__(self, model_name, requested_output_names, inputs, preferred_memory=None):
                self.name, self.outputs = model_name, requested_output_names
                self.arrays = {tensor.name(): tensor.as_numpy() for tensor in inputs}

            def exec(self):
                server.calls.append((self.name, len(next(iter(self.arrays.values())))))
                if self.name not in server.runs:
                    return InferenceResponse([], TritonError(f"unknown model {self.name}"))
                found = server.runs[self.name](self.arrays)
                return InferenceResponse([Tensor(name, found[name]) for name in self.outputs])

        utils = types.ModuleType("triton_python_backend_utils")
        for kind in (Tensor, TritonError, TritonModelException, InferenceResponse, InferenceRequest):
            setattr(utils, kind.__name__, kind)
        utils.TRITONSERVER_MEMORY_CPU = 0
        utils.PreferredMemory = lambda kind, device: (kind, device)
        utils.get_input_tensor_by_name = lambda request, name: next(t for t in request.tensors if t.name() == name)
        utils.get_output_tensor_by_name = lambda answer, name: next(
            t for t in answer.output_tensors() if t.name() == name
        )
        return utils
