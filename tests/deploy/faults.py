"""Mistakes that an exporter could make, each put into a copy of a good file. The files stay valid ONNX: nothing but a gate that
looks at names, weights and numbers can find them."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from mmspec.deploy.file import array, graphs, initializers, with_arrays


def changed_weight(file):
    """One number of one expert of the second block, by a tenth."""
    name = "joint.blocks.1.feed_forward.experts.1.down.bias"
    return changed(file, name, lambda weights: np.append(weights[:-1], weights[-1] + np.float32(0.1)))


def changed_embedding(file):
    """The first row of a table, doubled."""

    def double(table):
        table = table.copy()
        table[:4] *= 2
        return table

    return changed(file, "text.embedding", double)


def dropped_expert(file):
    """What goes to expert 2 is answered by expert 0: its own weights lie in the file unread."""
    file = copied(file)
    for graph in graphs(file.graph):
        for node in graph.node:
            for i, name in enumerate(node.input):
                if ".0.feed_forward.experts.2." in name:
                    node.input[i] = name.replace("experts.2.", "experts.0.")
    return file


def frozen_input(file):
    """The batch of the first input has the size of the example."""
    file = copied(file)
    dim = file.graph.input[0].type.tensor_type.shape.dim[0]
    dim.Clear()
    dim.dim_value = 2
    return file


def frozen_size(file):
    """The batch, as the inner nodes see it, is always seven."""
    file = copied(file)
    shape = next(node for node in file.graph.node if node.op_type == "Shape" and node.input[0] == "image")
    node = helper.make_node("Constant", [], list(shape.output), value=numpy_helper.from_array(np.array([7])))
    file.graph.node.insert(list(file.graph.node).index(shape), node)
    file.graph.node.remove(shape)
    return file


def swapped_outputs(file):
    """Two heads of the same shape under one another's names."""
    names = {"label": "mood", "mood": "label"}
    file = copied(file)
    for graph in graphs(file.graph):
        for node in graph.node:
            for side in (node.input, node.output):
                side[:] = [names.get(name, name) for name in side]
    return file


def changed_threshold(file):
    return changed(file, "joint.blocks.thresholds", lambda thresholds: thresholds + np.float32(0.2))


def ignored_mask(file):
    """Every token of every text counts."""
    file = copied(file)
    for graph in graphs(file.graph):
        for node in graph.node:
            node.input[:] = ["everything" if name == "text_mask" else name for name in node.input]
    file.graph.node.insert(0, helper.make_node("Equal", ["text_mask", "text_mask"], ["everything"]))
    return file


def exchanged_branches(file):
    """Samples that should go on stop, where all should stop the second block runs."""
    file = copied(file)
    node = next(node for node in file.graph.node if node.op_type == "If")
    for attribute in node.attribute:
        attribute.name = {"then_branch": "else_branch", "else_branch": "then_branch"}[attribute.name]
    return file


def coarse_norm(file):
    """A layer norm divides by sqrt(variance + 0.01)."""
    file = copied(file)
    node = next(node for node in file.graph.node if node.op_type == "LayerNormalization")
    for attribute in node.attribute:
        if attribute.name == "epsilon":
            attribute.f = 0.01
    return file


def second_choice(file):
    """Each token meets the experts that its router favours least."""
    file = copied(file)
    node = next(node for node in file.graph.node if node.op_type == "TopK")
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("largest", 0))
    return file


def needs_tokens(file, expert="joint.blocks.0.feed_forward.experts.2"):
    """An expert adds nothing, zero times its answer to its first token: of no tokens there is no first."""
    file = copied(file)
    name = f"{expert}.down.bias"
    graph, node = next((g, n) for g in graphs(file.graph) for n in g.node if name in n.input)
    graph.initializer.append(numpy_helper.from_array(np.array([0]), f"{name}.row"))
    graph.initializer.append(numpy_helper.from_array(np.float32(0), f"{name}.zero"))
    at, answer = list(graph.node).index(node) + 1, node.output[0]
    node.output[0] = f"{answer}.before"
    for op, inputs, output in (
        ("Add", [f"{answer}.before", f"{answer}.none"], answer),
        ("Mul", [f"{answer}.first", f"{name}.zero"], f"{answer}.none"),
        ("Gather", [f"{answer}.before", f"{name}.row"], f"{answer}.first"),
    ):
        graph.node.insert(at, helper.make_node(op, inputs, [output]))
    return file


def changed(file, name, change):
    return with_arrays(file, {name: change(array(initializers(file)[name]))})


def copied(file):
    copy = onnx.ModelProto()
    copy.CopyFrom(file)
    return copy
