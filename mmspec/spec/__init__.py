"""What a user may write: YAML with positions, components, domains, reuse, wiring, diagnostics.

Knows YAML; knows no torch, no terminal, and no component: the reader is given a catalogue of them.
"""

from mmspec.spec.catalogue import Catalogue
from mmspec.spec.check import WiredNode
from mmspec.spec.component import Component, FieldError
from mmspec.spec.diagnostics import Diagnostic, SpecError
from mmspec.spec.domains import Domain
from mmspec.spec.load import add_domains, load, read
from mmspec.spec.model import ModelSpec
from mmspec.spec.roles import Decoder, Encoder, Fusion, Halting, Head, Input, Node, Objective, Pool, Router
from mmspec.spec.source import Position
from mmspec.spec.wiring import Source

__all__ = [
    "Catalogue",
    "Component",
    "Decoder",
    "Diagnostic",
    "Domain",
    "Encoder",
    "FieldError",
    "Fusion",
    "Halting",
    "Head",
    "Input",
    "ModelSpec",
    "Node",
    "Objective",
    "Pool",
    "Position",
    "Router",
    "Source",
    "SpecError",
    "WiredNode",
    "add_domains",
    "load",
    "read",
]
