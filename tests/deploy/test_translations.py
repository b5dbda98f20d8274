"""What we translate ourselves into ONNX computes what torch computes."""

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import torch
from torch.export import Dim, export

from mmspec.deploy.cleaning import bound, inline, simplify, widen
from mmspec.deploy.tensorrt.site import sites
from mmspec.deploy.tracing import quiet
from mmspec.deploy.translations import TRANSLATIONS


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
    model = made.model
    inline(model)
    simplify(model)
    bound(model)
    proto = onnx_ir.to_proto(model)
    assert {node.input[0] for node in proto.graph.node if node.op_type == "Clip"} == {"x"}
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    other = torch.randn(2, 7), torch.randint(-9, 9, (2, 7))
    feed = {value.name: tensor.numpy() for value, tensor in zip(session.get_inputs(), other, strict=True)}
    for found, wanted in zip(session.run(None, feed), Bounds()(*other), strict=True):
        np.testing.assert_array_equal(found, wanted.numpy())


def test_truth_is_padded_and_counted_as_numbers():
    """Named values keep their names and types; what reads them, and what ends the graph, notices nothing."""
    text = (
        '<ir_version: 10, opset_import: ["" : 20]> g (bool[batch, n] x, int64[batch, n] i) => (bool[batch, m] p, int64[batch, n] c, int64[batch, n] d)'
        " <int64[4] pads = {0, 1, 0, 2}, bool one = {1}, int64 axis = {1}>"
        " { p = Pad(x, pads, one)  c = CumSum(i, axis)  d = Add(c, i) }"
    )
    proto = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))
    model = onnx_ir.from_proto(proto)
    widen(model)
    wide = onnx_ir.to_proto(model)
    onnx.checker.check_model(wide, full_check=True)
    types = {site.operator: site.known.types[site.node.input[0]] for site in sites(wide)}
    assert (types["Pad"], types["CumSum"]) == ("INT32", "FP32") and len(wide.graph.node) == 8
    feed = {"x": np.random.default_rng(0).random((2, 3)) < 0.5, "i": np.arange(6).reshape(2, 3)}
    before, after = (
        onnxruntime.InferenceSession(each.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feed)
        for each in (proto, wide)
    )
    for wanted, found in zip(before, after, strict=True):
        assert wanted.dtype == found.dtype
        np.testing.assert_array_equal(found, wanted)


class Owners(torch.nn.Module):
    def forward(self, place):
        return torch.div(place, 3, rounding_mode="trunc")


def test_places_are_divided_as_integers():
    program = export(Owners(), (torch.arange(7),), dynamic_shapes=({0: Dim("n")},), strict=False)
    with quiet():
        made = torch.onnx.export(
            program, dynamo=True, opset_version=20, optimize=False, verbose=False, custom_translation_table=TRANSLATIONS
        )
    assert "Floor" not in {node.op_type for node in made.model_proto.graph.node}
    session = onnxruntime.InferenceSession(made.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    place = np.array([-4, 0, 5, 2**24 + 1, 2**40 + 2])  # float32 knows no 2^24 + 1
    (found,) = session.run(None, {session.get_inputs()[0].name: place})
    np.testing.assert_array_equal(found, Owners()(torch.from_numpy(place)).numpy())
