"""What decides keeps float32 where OpenVINO computes in bfloat16: routers, heads that are asked at exits, counts and places.

OpenVINO is told one precision for a whole file. An operation that bears a mark of its own keeps that in which it is written; the
mark is a C++ object, which Python can hand on but not make, so that it is taken from a small model that was read with one.

Something decides where real numbers become integers or truth: the places of the largest, a comparison, a rounding. It bears the
mark, and so does all that it depends on, branches and loops included, back to the next products, which bear it where they are of
weights (attention, a product of two activations, stays as it is), and to the sums that lead from block to block. A file says this
by itself, so that whoever loads it keeps the same: nothing is written down anywhere.

What reads a loop's result bears the mark, too: where it is to be turned into bfloat16, OpenVINO (2026.4) goes on reading the place
where the result was before the loop needed more room, as it does at the first text that is longer than all before.

Source   openvino: transformations/rt_info/disable_precision_conversion.hpp; intel_cpu: Graph::EnforceInferencePrecision
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

PRODUCTS = frozenset({"MatMul", "Convolution", "GroupConvolution"})
LOOPS = frozenset({"Loop", "TensorIterator"})
MOVES = frozenset({
    "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Slice", "StridedSlice", "Gather", "Concat", "Convert", "Broadcast",
})  # fmt: skip
SHAPES = frozenset({"ShapeOf", "Result"})  # which read no numbers
MARKED = """<net name="marked" version="11">
  <layers>
    <layer id="0" name="x" type="Parameter" version="opset1">
      <data shape="1" element_type="f32"/><output><port id="0" precision="FP32"><dim>1</dim></port></output>
    </layer>
    <layer id="1" name="marked" type="Relu" version="opset1">
      <rt_info><attribute name="precise" version="0"/></rt_info>
      <input><port id="0" precision="FP32"><dim>1</dim></port></input>
      <output><port id="1" precision="FP32"><dim>1</dim></port></output>
    </layer>
    <layer id="2" name="y" type="Result" version="opset1">
      <input><port id="0" precision="FP32"><dim>1</dim></port></input>
    </layer>
  </layers>
  <edges>
    <edge from-layer="0" from-port="0" to-layer="1" to-port="0"/><edge from-layer="1" from-port="1" to-layer="2" to-port="0"/>
  </edges>
</net>"""


def keep_deciding(core: Any, model: Any) -> frozenset[str]:
    """Mark what decides in an openvino.Model, or reads a loop; returns the names of what is then computed in float32."""
    marked = core.read_model(MARKED.encode(), b"").get_results()[0].input_value(0).get_node().get_rt_info()
    marks = {name: marked[name] for name in marked}
    values: set[str] = set()
    found = {node.get_name(): node for node in (*deciding(model), *behind_loops(model))}
    for node in found.values():
        values.update(*(value.get_names() for value in node.outputs()))
        for lasting in _lasting(node):
            for name, mark in marks.items():
                lasting.set_rt_info(mark, name)
    return frozenset(values)


def _lasting(node: Any) -> list[Any]:
    """The node; or, in its place in the model, what OpenVINO would make of it and lose the mark."""
    from openvino import opset1

    kind, said, given = node.get_type_name(), node.get_attributes(), node.input_values()
    made: list[Any] = []
    if (
        kind == "MatMul"
        and given[1].get_node().get_type_name() == "Transpose"
        and len(given[1].get_partial_shape()) == 2
    ):
        weight = given[1].get_node().input_value(0)
        made = [opset1.matmul(given[0], weight, said["transpose_a"], not said["transpose_b"])]
    elif kind == "Softmax":
        made = [opset1.softmax(given[0], said["axis"] % len(given[0].get_partial_shape()))]
    elif kind == "Subtract":
        halves = [
            opset1.multiply(value, np.array(by, np.float32)) for value, by in zip(given, (0.5, -0.5), strict=True)
        ]
        half = opset1.add(*halves)
        made = [*halves, half, opset1.multiply(half, np.array(2, np.float32))]
    elif kind == "Divide":
        part = opset1.power(given[1], np.array(-1, given[1].get_element_type().to_dtype()))
        made = [part, opset1.multiply(given[0], part)]
    elif kind == "Pad" and said["pad_mode"] == "constant":
        made = [opset1.pad(*given[:3], "constant", *given[3:])]
    if not made:
        return [node]
    made[-1].set_friendly_name(node.get_friendly_name())
    made[-1].output(0).add_names(node.output(0).get_names())
    for reader in node.output(0).get_target_inputs():
        reader.replace_source_output(made[-1].output(0))
    return made


def deciding(model: Any) -> Iterator[Any]:
    """The operations that decide, and those that these depend on."""
    waiting: list[tuple[Any, _Scope]] = []
    for scope in _scopes(_Scope(model)):
        for node in scope.model.get_ordered_ops():
            if _decides(node):
                yield node
                waiting += [(value, scope) for value in node.input_values()]
    seen = set()
    while waiting:
        value, scope = waiting.pop()
        node, place = value.get_node(), (value.get_node().get_name(), value.get_index())
        if place in seen or not value.get_element_type().is_real():
            continue
        seen.add(place)
        kind = node.get_type_name()
        if kind == "Parameter":
            waiting += scope.given(node)
        elif kind in PRODUCTS:
            if any(scope.is_weight(operand) for operand in node.input_values()):
                yield node
        elif inner := scope.inner.get(node.get_name()):
            waiting += [made for each in inner for made in each.made(value.get_index())]
        elif kind != "Constant":
            yield node
            if not scope.is_stream(node):
                waiting += [(operand, scope) for operand in node.input_values()]


def behind_loops(model: Any) -> Iterator[Any]:
    """The operations that read what a loop gives."""
    for scope in _scopes(_Scope(model)):
        for node in scope.model.get_ordered_ops():
            if node.get_type_name() in LOOPS:
                for value in node.outputs():
                    yield from _readers(value, scope)


def _readers(value: Any, scope: _Scope) -> Iterator[Any]:
    """Of real numbers, into branches and loops, and past what only moves them."""
    if not value.get_element_type().is_real():
        return
    for end in value.get_target_inputs():
        node = end.get_node()
        if inner := scope.inner.get(node.get_name()):
            for each in inner:
                for parameter in each.parameters(end.get_index()):
                    yield from _readers(parameter.output(0), each)
        elif node.get_type_name() != "Result":
            yield node
            if node.get_type_name() in MOVES:
                yield from _readers(node.output(0), scope)


def _decides(node: Any) -> bool:
    """Whether real numbers become something else."""
    return (
        node.get_type_name() not in SHAPES
        and not _bodies(node)
        and any(value.get_element_type().is_real() for value in node.input_values())
        and not all(value.get_element_type().is_real() for value in node.outputs())
    )


def _bodies(node: Any) -> list[tuple[Any, list[Any], list[Any]]]:
    """Of a branch or loop, each body with what it is given and what it gives."""
    kind = node.get_type_name()
    if kind == "If":
        return [(node.get_function(i), node.get_input_descriptions(i), node.get_output_descriptions(i)) for i in (0, 1)]
    if kind in LOOPS:
        return [(node.get_function(), node.get_input_descriptions(), node.get_output_descriptions())]
    return []


@dataclass(frozen=True)
class _Scope:
    """A graph, and where it is the body of an operation, the graph around it."""

    model: Any
    op: Any = None
    inputs: tuple[Any, ...] = ()
    outputs: tuple[Any, ...] = ()
    outer: _Scope | None = None

    @cached_property
    def inner(self) -> dict[str, list[_Scope]]:
        """The bodies in it, by the name of their operation."""
        return {
            node.get_name(): [_Scope(body, node, tuple(given), tuple(made), self) for body, given, made in bodies]
            for node in self.model.get_ordered_ops()
            if (bodies := _bodies(node))
        }

    def given(self, parameter: Any) -> list[tuple[Any, _Scope]]:
        """The values that a parameter has: outside, and after each turn of a loop."""
        if self.outer is None:
            return []
        found = []
        for each in self.inputs:
            if each.body_parameter_index == self.model.get_parameter_index(parameter):
                found.append((self.op.input_value(each.input_index), self.outer))
                if hasattr(each, "body_value_index"):
                    found.append((self._result(each.body_value_index), self))
        return found

    def parameters(self, input: int) -> list[Any]:
        """What one of the operation's inputs is called in the body."""
        held = self.model.get_parameters()
        return [held[each.body_parameter_index] for each in self.inputs if each.input_index == input]

    def made(self, output: int) -> list[tuple[Any, _Scope]]:
        """The values in the body that one of the operation's outputs has."""
        return [(self._result(each.body_value_index), self) for each in self.outputs if each.output_index == output]

    def _result(self, index: int) -> Any:
        return self.model.get_results()[index].input_value(0)

    def is_stream(self, node: Any) -> bool:
        """Whether it adds to what goes from block to block, [B, N, D]: a sum of two that both depend on inputs."""
        wide = node.get_type_name() == "Add" and len(node.get_output_partial_shape(0)) > 2
        return wide and not any(self.is_weight(operand) for operand in node.input_values())

    def is_weight(self, value: Any) -> bool:
        """Whether a value depends on no input."""
        node = value.get_node()
        if node.get_type_name() == "Parameter":
            given = self.given(node)
            return bool(given) and all(scope is not self and scope.is_weight(outer) for outer, scope in given)
        return all(self.is_weight(operand) for operand in node.input_values())


def _scopes(scope: _Scope) -> Iterator[_Scope]:
    """A graph and all bodies in it."""
    yield scope
    for bodies in scope.inner.values():
        for body in bodies:
            yield from _scopes(body)
