"""Norms of small numbers in float16, whose epsilon is smaller than what it can tell apart."""

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx.reference import ReferenceEvaluator

from mmspec.deploy.precision import half
from mmspec.host import session

RMS = """<ir_version: 10, opset_import: ["" : 20]> agraph (float[rows, 64] x) => (float[rows, 64] y) {
    squares = Pow (x, two)
    mean = ReduceMean (squares, last)
    more = Add (mean, least)
    length = Sqrt (more)
    even = Div (x, length)
    y = Mul (even, gain)
}"""


GAIN = np.linspace(0.5, 2, 64)


def norm():
    proto = onnx.parser.parse_model(RMS)
    numbers = {"gain": np.float32(GAIN), "least": np.float32(1e-6), "two": np.float32(2), "last": np.array([-1])}
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.array(value), name) for name, value in numbers.items()
    )
    onnx.checker.check_model(proto)
    return proto


@pytest.mark.parametrize("size", [1.0, 1e-2, 1e-3, 1e-4])
def test_a_norm_in_float16_has_the_epsilon_of_the_model(size):
    """ONNX Runtime takes 1e-5 where the epsilon that it fuses is not in float32 (SimplifiedLayerNormFusion)."""
    x = (size * np.random.default_rng(0).standard_normal((8, 64))).astype(np.float16).astype(np.float32)
    exact = x.astype(np.float64)
    wanted = exact / np.sqrt((exact**2).mean(-1, keepdims=True) + 1e-6) * GAIN
    file = half.lowered(norm(), [])
    for found in (session(file.SerializeToString(), 1)({"x": x})["y"], ReferenceEvaluator(file).run(None, {"x": x})[0]):
        assert np.linalg.norm(found - wanted) < 1e-3 * np.linalg.norm(wanted)
