"""What decides keeps float32 beside OpenVINO's bfloat16; what does not, does not."""

import numpy as np
import onnx
import pytest

from mmspec.host import session
from mmspec.openvino_runtime import in_float32, openvino

ov = pytest.importorskip("openvino")
HEAD = '<ir_version: 10, opset_import: ["" : 20]> g '


def written(text, **held):
    """A file from its text, and its initialisers by name."""
    proto = onnx.parser.parse_model(HEAD + text)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in held.items())
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def weights(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def router():
    """A layer, and a router of what it gives: the two experts that each token likes best, out of 32."""
    text = """(float[batch, n, 64] x) => (int64[batch, n, 2] chosen, float[batch, n, 64] y) {
        turned = Transpose<perm = [1, 0]>(w)  y = MatMul(x, turned)
        across = Transpose<perm = [1, 0]>(r)  likes = MatMul(x, across)
        p = Softmax<axis = -1>(likes)  two = Constant<value = int64[1] {2}>()  best, chosen = TopK(p, two)
    }"""
    return written(text, w=weights(64, 64), r=weights(32, 64, seed=1))


def asked(file, x):
    return openvino("bf16")(file, 1)({"x": x})


def in_bf16(x):
    """Rounded to 8 bits, to the even."""
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(np.uint32).view(np.float32)


def bf16_is_here():
    x = np.full((1, 1, 64), 1 + 2**-9, np.float32)
    text = "(float[batch, n, 64] x) => (float[batch, n, 64] y) { y = MatMul(x, w) }"
    return asked(written(text, w=np.eye(64, dtype=np.float32)), x)["y"][0, 0, 0] == 1


def test_a_router_decides_in_float32_and_the_layer_beside_it_in_bfloat16():
    if not bf16_is_here():
        pytest.skip("a processor without bfloat16 computes all in float32")
    file, x = router(), in_bf16(weights(16, 20, 64, seed=2))  # what it reads is as it was handed on
    found, wanted = asked(file, x), session(file, 1)({"x": x})
    assert {"likes", "p", "chosen"} <= in_float32(file) and "y" not in in_float32(file)
    np.testing.assert_array_equal(found["chosen"], wanted["chosen"])
    assert np.abs(found["y"] - wanted["y"]).max() > 1e-3 * np.abs(wanted["y"]).max()


def test_what_decides_is_found_through_branches_and_ends_at_a_sum_that_leads_on():
    text = """(float[batch, 8] x, bool go) => (bool[batch, 1] out, float[batch, 4] y) {
        score = If(go) <
            then_branch = yes () => (float[batch, 1] a) { a = MatMul(x, w) },
            else_branch = no () => (float[batch, 1] b) { h = MatMul(x, v)  s = Sigmoid(h)  b = ReduceMax<keepdims = 1>(s, axis) }
        >
        limit = Constant<value = float {0.5}>()  out = Greater(score, limit)  y = MatMul(x, v)
    }"""
    file = written(text, w=weights(8, 1), v=weights(8, 4), axis=np.array([-1]))
    assert in_float32(file) == {"a", "h", "s", "b", "out"}
    text = """(float[batch, n, 8] x) => (bool[batch, n, 8] out) {
        a = MatMul(x, w)  stream = Add(a, x)  even = Mul(stream, stream)  limit = Constant<value = float {0.5}>()
        out = Greater(even, limit)
    }"""
    assert in_float32(written(text, w=weights(8, 8))) == {"stream", "even", "out"}


def test_rows_are_found_by_counts_that_are_not_rounded():
    """Counted in floating point, as TensorRT wants it: beyond 256 there are numbers that bfloat16 does not know."""
    text = """(int64[n] x) => (float[n, 8] z) {
        t = Cast<to = 1>(x)  axis = Constant<value = int64 {0}>()  y = CumSum(t, axis)  i = Cast<to = 7>(y)
        row = Gather(table, i)  z = MatMul(row, w)
    }"""
    table = np.random.default_rng(0).integers(-9, 9, (2000, 8)).astype(np.float32)
    file, x = written(text, table=table, w=np.eye(8, dtype=np.float32)), np.ones(1999, np.int64)
    np.testing.assert_array_equal(openvino("bf16")(file, 1)({"x": x})["z"], table[x.cumsum()])


def test_answers_outlive_the_next_call():
    run = openvino("f32")(router(), 1)
    first = run({"x": weights(1, 2, 64, seed=3)})["y"]
    before = first.copy()
    run({"x": weights(1, 2, 64, seed=4)})
    np.testing.assert_array_equal(first, before)
