"""OpenVINO's answers bear the names that the file gives them."""

import numpy as np
import pytest
from onnx import helper

from mmspec.openvino_runtime import openvino


def test_an_output_that_is_an_inner_value_too_is_found_by_its_own_name():
    pytest.importorskip("openvino")
    nodes = [helper.make_node("Relu", ["x"], ["inner"]), helper.make_node("Identity", ["inner"], ["rest"])]
    ends = [[helper.make_tensor_value_info(name, 1, ["batch"])] for name in ("x", "rest")]
    graph = helper.make_graph(nodes, "rectified", *ends)
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)

    answers = openvino()(file.SerializeToString(), 1)({"x": np.array([-1.0, 2.0], np.float32)})

    assert {name: values.tolist() for name, values in answers.items()} == {"rest": [0.0, 2.0]}
