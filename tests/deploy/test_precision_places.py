"""Places and counts that a file holds as real numbers, beyond what float16 (2,048) and bfloat16 (256) count to.

Judged by onnx's own reference, which rounds wherever a file says so. ONNX Runtime's CPU does not: it has few operators in float16,
computes the others in float32, and leaves out casts down and up again that this brings together.
"""

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from mmspec import openvino_runtime
from mmspec.backend.runtime.choices import Admit, NextBest
from mmspec.deploy.file import graphs
from mmspec.deploy.precision import half
from mmspec.host import session

TOKENS, ROOM = 5500, 2500
CASES = {
    "a count that is asked for": """
agraph (float[rows, tokens] x) => (bool[rows, tokens] y) {
    last = Constant <value_int = 1> ()
    one = Constant <value = float {1}> ()
    room = Constant <value = float {2500}> ()
    before = CumSum (x, last)
    place = Mul (before, one)
    y = Greater (place, room)
}""",
    "a count that leaves a branch": """
agraph (float[rows, tokens] x) => (int64[rows, tokens] y) {
    last = Constant <value_int = 1> ()
    all = ReduceSum <keepdims = 0> (x)
    nothing = Constant <value = float {0}> ()
    any = Greater (all, nothing)
    count = If (any) <
        then_branch = counted () => (float[rows, tokens] counted) { counted = CumSum (x, last) },
        else_branch = taken () => (float[rows, tokens] taken) { taken = Neg (x) }
    >
    y = Cast <to = 7> (count)
}""",
    "a count that a loop carries": """
agraph (float[rows, tokens] x) => (int64[rows, tokens] y) {
    turns = Constant <value_int = 2500> ()
    on = Constant <value = bool {1}> ()
    begun = Sub (x, x)
    count = Loop (turns, on, begun) <
        body = turn (int64 number, bool goes_on, float[rows, tokens] before) => (bool stays, float[rows, tokens] after) {
            stays = Identity (goes_on)
            after = Add (before, x)
        }
    >
    y = Cast <to = 7> (count)
}""",
    "a share of more tokens than float16 has numbers": """
agraph (float[rows, tokens] x) => (float[rows] y) {
    axes = Constant <value_ints = [1]> ()
    shape = Shape (x)
    second = Constant <value_ints = [1]> ()
    size = Gather (shape, second)
    many = Constant <value_ints = [20]> ()
    count = Mul (size, many)
    real = Cast <to = 1> (count)
    all = ReduceSum <keepdims = 0> (x, axes)
    y = Div (all, real)
}""",
}


def told(proto, x):
    """The answers of onnx's reference."""
    return ReferenceEvaluator(proto).run(None, {proto.graph.input[0].name: x})


def parsed(text):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]>{text}')
    for graph in graphs(proto.graph):
        for node in graph.node:
            node.name = f"node_{node.output[0]}"
    return proto


@pytest.mark.parametrize("name", CASES)
def test_what_is_counted_in_float16_is_what_is_counted_in_float32(name):
    proto = parsed(CASES[name])
    x = np.ones((1, TOKENS), np.float32)
    wanted, got = (told(file, x)[0] for file in (proto, half.lowered(proto, set())))
    assert wanted.dtype == got.dtype and wanted.shape == got.shape
    assert (wanted == got).all() if wanted.dtype.kind in "bi" else np.allclose(wanted, got, rtol=2e-3, atol=0)


class Routed(torch.nn.Module):
    """Each token's expert, of those that take so many: the likeliest, or nobody; the likeliest that has room."""

    def __init__(self):
        super().__init__()
        self.admit, self.next_best = Admit(2, ROOM), NextBest(ROOM)

    def forward(self, chances):
        return self.admit(chances.argmax(dim=-1, keepdim=True)), self.next_best(chances)


@pytest.fixture(scope="module")
def routed():
    """The file, chances of 5,500 tokens of which most ask for one expert, and torch's experts."""
    chances = torch.rand(1, TOKENS, 2, generator=torch.Generator().manual_seed(0)) + torch.tensor([0.6, 0.0])
    tokens = torch.export.Dim("tokens", min=2, max=2 * TOKENS)
    program = torch.export.export(Routed(), (chances[:, :50],), dynamic_shapes=({1: tokens},))
    proto = torch.onnx.export(program, dynamo=True, opset_version=20, verbose=False).model_proto
    experts = [each.numpy() for each in Routed()(chances)]
    assert all((each == 0).sum() == ROOM for each in experts), "one expert is full"
    return proto, chances.numpy(), experts


def test_experts_that_are_full_are_so_at_the_same_token_in_float16(routed):
    proto, chances, experts = routed
    low = half.lowered(proto, set())
    run = session(low.SerializeToString(), 1)
    for found in (told(low, chances), [*run({low.graph.input[0].name: chances}).values()]):
        assert [np.flatnonzero(a != b).tolist() for a, b in zip(found, experts, strict=True)] == [[], []]


def test_experts_that_are_full_are_so_at_the_same_token_in_bfloat16(routed):
    pytest.importorskip("openvino")
    proto, chances, experts = routed
    run = openvino_runtime.openvino("bf16")(proto.SerializeToString(), 1)
    found = [*run({proto.graph.input[0].name: chances}).values()]
    assert [np.flatnonzero(a != b).tolist() for a, b in zip(found, experts, strict=True)] == [[], []]
