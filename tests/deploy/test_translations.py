"""What we translate ourselves into ONNX computes what torch computes."""

import numpy as np
import onnxruntime
import torch
from torch.export import Dim, export

from mmspec.deploy.tracing import TRANSLATIONS, quiet


class Bounds(torch.nn.Module):
    def forward(self, x, i):
        length = i.shape[1]
        return x.clamp(min=0.5), x.clamp(-1, 1), i.clamp(max=length - 1), i.clamp(min=2), i.clamp(0, length)


def test_integers_are_held_within_bounds_without_clip():
    """TensorRT's Clip is for floating-point numbers."""
    given = torch.randn(3, 5), torch.randint(-9, 9, (3, 5))
    dims = {0: Dim("batch"), 1: Dim("length")}
    program = export(Bounds(), given, dynamic_shapes=(dims, dims), strict=False)
    with quiet():
        made = torch.onnx.export(
            program, dynamo=True, opset_version=20, optimize=False, verbose=False, custom_translation_table=TRANSLATIONS
        )
    proto = made.model_proto
    assert {node.input[0] for node in proto.graph.node if node.op_type == "Clip"} == {"x"}
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    other = torch.randn(2, 7), torch.randint(-9, 9, (2, 7))
    feed = {value.name: tensor.numpy() for value, tensor in zip(session.get_inputs(), other, strict=True)}
    for found, wanted in zip(session.run(None, feed), Bounds()(*other), strict=True):
        np.testing.assert_array_equal(found, wanted.numpy())
