"""The intermediate graph and how it is written. Imports no torch."""

from mmspec.ir.dims import Dim, Shape, bind, product, symbol
from mmspec.ir.graph import Graph, Init, Op, Parameter, Value, parameter_count, parameters
from mmspec.ir.primitives import PRIMITIVES, ShapeError
from mmspec.ir.scope import Program, Scope
from mmspec.ir.unreadable import told, unreadable

__all__ = [
    "PRIMITIVES", "Dim", "Graph", "Init", "Op", "Parameter", "Program", "Scope", "Shape", "ShapeError", "Value",
    "bind", "parameter_count", "parameters", "product", "symbol", "told", "unreadable",
]  # fmt: skip
