"""What we translate ourselves into ONNX computes what torch computes."""

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import torch
from torch.export import Dim, export

from mmspec import openvino_runtime
from mmspec.deploy.cleaning import bound, inline, simplify, widen
from mmspec.deploy.contract import Contract, Port
from mmspec.deploy.tensorrt.site import sites
from mmspec.deploy.tracing import quiet, translated
from mmspec.deploy.translations import TRANSLATIONS
from mmspec.host import session


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


class Seats(torch.nn.Module):
    """A share of those that are present, rounded up."""

    def forward(self, present):
        count = present.sum(dim=1) * 4 + 3
        return torch.div(count, 4, rounding_mode="trunc"), count // 4, (3 - count) // 4


def test_integers_are_divided_without_a_rest_that_a_runtime_could_round():
    """In OpenVINO 2026.4 a division that is computed in one kernel with the sum before it makes 9 of 35 / 4."""
    dims = ({0: Dim("b"), 1: Dim("n")},)
    program = export(Seats(), (torch.ones(2, 5, dtype=torch.bool),), dynamic_shapes=dims, strict=False)
    with quiet():
        model = torch.onnx.export(
            program, dynamo=True, opset_version=20, optimize=False, verbose=False, custom_translation_table=TRANSLATIONS
        ).model
    inline(model)
    simplify(model)
    file = onnx_ir.to_proto(model)
    present = torch.rand(64, 40, generator=torch.Generator().manual_seed(0)) < 0.5
    wanted = [value.numpy() for value in Seats()(present)]
    loads = [session] + ([openvino_runtime.openvino("f32")] if openvino_runtime.installed() else [])
    for load in loads:
        found = load(file.SerializeToString(), 1)({file.graph.input[0].name: present.numpy()})
        for value, right in zip(found.values(), wanted, strict=True):
            np.testing.assert_array_equal(value, right)


class Undone(torch.nn.Module):
    """What torch.onnx would take apart before it translates."""

    def forward(self, x, i):
        some, odd = x > 0.3, i.eq(1).unsqueeze(-1)
        rows = torch.zeros_like(x[0]).index_copy(0, torch.arange(x.shape[1]).flip(0), x[0])
        columns = x.index_copy(-1, torch.arange(2) * 3 + 1, x[..., :2])
        parts = x.unflatten(-1, (2, 3))
        return (
            some & odd, some | odd, i & (i + 1), i | (i + 1), x.square(), torch.rsub(x, 2.0, alpha=3.0), 2.5 - i, 2 - i,
            i.to(torch.float32), rows, columns, parts, parts.flatten(1, 2), parts.flatten(), parts.transpose(1, 2).flatten(2),
            torch.nn.functional.rms_norm(x, (6,)), torch.nn.functional.rms_norm(x, (6,), x[0, 0], 1e-3),
        )  # fmt: skip


def test_what_is_translated_as_it_is_computes_what_torch_computes():
    dims = {0: Dim("batch"), 1: Dim("length")}
    program = export(
        Undone(), (torch.randn(3, 5, 6), torch.randint(3, (3, 5))), dynamic_shapes=(dims, dims), strict=False
    )
    asked = {node.target for node in program.graph.nodes if node.op == "call_function"}
    assert not (TRANSLATIONS.keys() & {torch.ops.aten.rms_norm.default, torch.ops.aten.flatten.using_ints}) - asked
    contract = Contract(
        (Port("x", "float32", ("batch", "length", 6), ""), Port("i", "int64", ("batch", "length"), "")),
        tuple(Port(str(number), "float32", (), "") for number in range(17)),
        {},
    )
    model, translated_as = translated(program, contract, 20)
    assert translated_as.graph_signature == program.graph_signature
    proto = onnx_ir.to_proto(model)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch, length in ((2, 7), (1, 1), (4, 3)):
        given = torch.randn(batch, length, 6), torch.randint(3, (batch, length))
        feed = {value.name: tensor.numpy() for value, tensor in zip(session.get_inputs(), given, strict=True)}
        for found, wanted in zip(session.run(None, feed), Undone()(*given), strict=True):
            assert found.shape == tuple(wanted.shape) and found.dtype == wanted.numpy().dtype
            np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-6)
