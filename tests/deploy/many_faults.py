"""Every fault that the gates are held to: those of faults.py, a changed weight in each kind of layer, operators that do nearly the
same, and a file that is not what its contract says. By name, a function from a good file to a bad one."""

import faults
import numpy as np
import onnx
from faults import changed, copied
from onnx import TensorProto, helper, numpy_helper

from mmspec.deploy import Mismatch
from mmspec.deploy.file import array, graphs, initializers
from mmspec.errors import Failure

KINDS = {
    "convolution": "image.patches.weight",
    "bias_of_convolution": "image.patches.bias",
    "position": "image.position",
    "norm": "image.blocks.0.norm1.weight",
    "bias_of_norm": "text.norm.bias",
    "query": "text.blocks.0.attention.query.weight",
    "bias_of_attention": "joint.blocks.0.cross_attention.output.bias",
    "feed_forward": "image.blocks.0.feed_forward.up.weight",
    "adapter": "joint.adapt_text.weight",
    "gate": "joint.blocks.1.gate.weight",
    "router": "joint.blocks.0.feed_forward.router.weight",
    "expert": "joint.blocks.0.feed_forward.experts.2.up.weight",
    "head": "mood.output.weight",
    "bias_of_head": "label.output.bias",
}


def last_bit(name):
    """One number of a weight, by its last bit."""

    def fault(file):
        def flip(weights):
            bits = weights.copy().reshape(-1)
            bits.view(np.uint32)[0] ^= 1
            return bits.reshape(weights.shape)

        return changed(file, name, flip)

    return fault


def transposed_weight(file):
    return changed(file, "image.blocks.0.attention.query.weight", lambda weights: weights.T.copy())


def duplicated_expert(file):
    held = array(initializers(file)["joint.blocks.0.feed_forward.experts.0.up.weight"])
    return changed(file, "joint.blocks.0.feed_forward.experts.2.up.weight", lambda weights: held)


def halved_weights(file):
    """Stored in half precision and back."""
    return changed(file, "image.blocks.0.feed_forward.up.weight", lambda w: w.astype(np.float16).astype(np.float32))


def renamed(pairs, marks=("",)):
    """Nodes read other weights than they should: names exchanged where they contain one of the marks."""

    def fault(file):
        file = copied(file)
        for graph in graphs(file.graph):
            for node in graph.node:
                node.input[:] = [
                    pairs.get(name, name) if any(m in name for m in marks) else name for name in node.input
                ]
        return file

    return fault


def exchanged(one, other):
    return renamed({one: other, other: one})


def node_of(file, op, reads=None):
    return next(
        n for g in graphs(file.graph) for n in g.node if n.op_type == op and (reads is None or reads in n.input)
    )


def made(op, reads=None, **attributes):
    """The first node of that operator, with other attributes."""

    def fault(file):
        file = copied(file)
        node = node_of(file, op, reads)
        kept = [a for a in node.attribute if a.name not in attributes]
        del node.attribute[:]
        node.attribute.extend([*kept, *(helper.make_attribute(k, v) for k, v in attributes.items() if v is not None)])
        return file

    return fault


def skipped(op, reads=None, keeps=0):
    """The first node of that operator gives what it is given."""

    def fault(file):
        file = copied(file)
        node = node_of(file, op, reads)
        kept = node.input[keeps]
        node.op_type, node.input[:] = "Identity", [kept]
        del node.attribute[:]
        return file

    return fault


def instead(op, other, reads=None):
    def fault(file):
        file = copied(file)
        node_of(file, op, reads).op_type = other
        return file

    return fault


def turned(op, reads):
    """The operands of a node the other way round."""

    def fault(file):
        file = copied(file)
        node = node_of(file, op, reads)
        node.input[-2:] = reversed(node.input[-2:])
        return file

    return fault


def untransposed(file):
    """A square matrix, used as it lies in the file."""
    name = "image.blocks.0.attention.query.weight"
    file = copied(file)
    turn = node_of(file, "Transpose", name)
    turn.op_type = "Identity"
    del turn.attribute[:]
    return file


def scaled(file):
    """Scores of an attention, by a tenth too large."""
    file = copied(file)
    scale = node_of(file, "Mul", node_of(file, "MatMul", "transpose").output[0]).input[1]
    node = next(n for n in file.graph.node if scale in n.output)
    value = numpy_helper.to_array(node.attribute[0].t)
    node.attribute[0].t.CopyFrom(numpy_helper.from_array(np.asarray(value * np.float32(1.1))))
    return file


def behind(output, *nodes):
    """Something more is done to an output: nodes from "before" to the output's name."""

    def fault(file):
        file = copied(file)
        for node in file.graph.node:
            node.output[:] = ["before" if name == output else name for name in node.output]
            node.input[:] = ["before" if name == output else name for name in node.input]
        file.graph.node.extend([helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes])
        return file

    return fault


def constant(value, name):
    return ("Constant", [], [name], {"value": numpy_helper.from_array(np.asarray(value))})


def frozen_length(file):
    """The length of the text, as the inner nodes see it, is always five."""
    file = copied(file)
    shape = next(n for n in file.graph.node if n.op_type == "Shape" and n.input[0] == "text")
    shape.CopyFrom(helper.make_node("Constant", [], list(shape.output), value=numpy_helper.from_array(np.array([5]))))
    return file


def removed_condition(file):
    """Nobody goes on."""
    file = copied(file)
    node = node_of(file, "If")
    stop = next(a.g for a in node.attribute if a.name == "else_branch")
    at = list(file.graph.node).index(node)
    names = dict(zip((value.name for value in stop.output), node.output, strict=True))
    for inner in reversed(stop.node):
        file.graph.node.insert(at, inner)
        file.graph.node[at].output[:] = [names.get(name, name) for name in inner.output]
    file.graph.node.remove(node)
    return file


def port(change):
    def fault(file):
        file = copied(file)
        change(file)
        return file

    return fault


def rename_input(file):
    for graph in graphs(file.graph):
        for node in graph.node:
            node.input[:] = ["picture" if name == "image" else name for name in node.input]
    file.graph.input[0].name = "picture"


def other_type(file):
    file.graph.input[1].type.tensor_type.elem_type = TensorProto.INT32


def no_mood(file):
    del file.graph.output[1]


def outputs_in_another_order(file):
    first, second = (onnx.ValueInfoProto.FromString(file.graph.output[i].SerializeToString()) for i in (0, 1))
    file.graph.output[0].CopyFrom(second)
    file.graph.output[1].CopyFrom(first)


def one_dimension_for_two(file):
    file.graph.input[1].type.tensor_type.shape.dim[1].dim_param = "batch"


def older(file):
    file.opset_import[0].version = 19


def foreign(file):
    file.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def outside(file):
    tensor = file.graph.initializer[1]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    tensor.ClearField("raw_data")


def cut(file):
    file.graph.initializer[1].raw_data = file.graph.initializer[1].raw_data[:-4]


def told(file):
    file.graph.node[3].doc_string = "made by somebody at home"


def disguised(file):
    file.graph.initializer.append(numpy_helper.from_array(np.zeros(5000, np.float32), "table"))


def unknown_value(file):
    file.graph.node[-1].input[0] = "nowhere"


HALF = (
    ("Cast", ["before"], ["half"], {"to": TensorProto.FLOAT16}),
    ("Cast", ["half"], ["label"], {"to": TensorProto.FLOAT}),
)
NEARLY = (constant(np.float32(1e-4), "little"), ("Add", ["before", "little"], ["label"]))
CLASSES = (constant([1, 0, 2, 3], "order"), ("Gather", ["before", "order"], ["label"], {"axis": 1}))
CLIPPED = (constant(np.float32(0.3), "most"), ("Clip", ["before", "", "most"], ["label"]))

FAULTS = {
    **{f"last_bit_of_{kind}": last_bit(name) for kind, name in KINDS.items()},
    **{
        f.__name__: f
        for f in (
            faults.changed_weight, faults.changed_embedding, faults.dropped_expert, faults.frozen_input, faults.frozen_size,
            faults.swapped_outputs, faults.changed_threshold, faults.ignored_mask, faults.exchanged_branches, faults.coarse_norm,
            faults.second_choice, transposed_weight, duplicated_expert, halved_weights, untransposed, scaled, frozen_length,
            removed_condition, faults.needs_tokens,
        )
    },
    "keys_for_queries": exchanged("image.blocks.0.attention.query.weight", "image.blocks.0.attention.key.weight"),
    "experts_exchanged": exchanged(
        "joint.blocks.0.feed_forward.experts.0.down.weight", "joint.blocks.0.feed_forward.experts.1.down.weight"
    ),
    "norms_exchanged": exchanged("image.blocks.0.norm1.weight", "image.blocks.0.norm2.weight"),
    "softmax_over_queries": made("Softmax", "val_26", axis=-2),
    "softmax_over_samples": made("Softmax", "val_26", axis=0),
    "router_over_tokens": made("Softmax", "linear_22", axis=1),
    "gelu_by_tanh": made("Gelu", approximate="tanh"),
    "gelu_of_an_expert_by_tanh": made("Gelu", "linear_23", approximate="tanh"),
    "relu_for_gelu": lambda file: instead("Gelu", "Relu")(made("Gelu", approximate=None)(file)),
    "epsilon_of_1e-3": made("LayerNormalization", epsilon=1e-3),
    "no_residual": skipped("Add", "linear_3", keeps=1),
    "masked_rows_average": skipped("Mul", "softmax_1"),
    "no_scores_are_masked": skipped("Where", "mul_1", keeps=2),
    "gate_open_for_both": skipped("Sub", "sigmoid", keeps=1),
    "tanh_for_the_gate": instead("Sigmoid", "Tanh"),
    "experts_unnormalised": skipped("Div", "sum_1"),
    "experts_unweighted": skipped("Mul", "view"),
    "largest_for_the_mean": instead("ReduceMean", "ReduceMax", "add_8"),
    "sum_for_the_mean": instead("ReduceMean", "ReduceSum", "add_8"),
    "half_an_expert": made("Gemm", "gelu_2", alpha=0.5),
    "expert_without_bias": made("Gemm", "gelu_2", beta=0.0),
    "leaves_when_unsure": instead("Greater", "Less"),
    "exits_turned": turned("Where", "bitwise_not_2"),
    "gate_turned": turned("Sub", "sigmoid"),
    "half_precision": behind("label", *HALF),
    "one_ten_thousandth_more": behind("label", *NEARLY),
    "classes_exchanged": behind("label", *CLASSES),
    "logits_clipped": behind("label", *CLIPPED),
    **{
        f.__name__: port(f)
        for f in (
            rename_input, other_type, no_mood, outputs_in_another_order, one_dimension_for_two, older, foreign, outside, cut, told,
            disguised, unknown_value,
        )
    },
}  # fmt: skip


def gate_that_finds(draft):
    """ "structure", "parity", or None where nothing finds it."""
    try:
        draft.check()
    except Failure:
        return "structure"
    try:
        draft.prove()
    except Mismatch:
        return "parity"
    except Failure:
        return "runtime"
    return None
