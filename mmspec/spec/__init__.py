"""What a user may write: YAML with positions, components, domains, reuse, wiring, diagnostics.

Knows YAML; knows no torch, no terminal, and no component: the reader is given a catalogue of them.
"""

from mmspec.spec.catalogue import Catalogue, Place
from mmspec.spec.check import WiredNode
from mmspec.spec.component import Component, FieldError
from mmspec.spec.describe import ComponentDescription, FieldDescription, describe
from mmspec.spec.diagnostics import Diagnostic, SpecError
from mmspec.spec.domains import Domain
from mmspec.spec.load import add_domains, load, read
from mmspec.spec.model import ModelSpec
from mmspec.spec.roles import Decoder, Encoder, Fusion, Halting, Head, Input, Node, Objective, Pool, Router
from mmspec.spec.schema import json_schema
from mmspec.spec.source import Position
from mmspec.spec.starter import starter
from mmspec.spec.wiring import Source

__all__ = [
    "Catalogue",
    "Component",
    "ComponentDescription",
    "Decoder",
    "Diagnostic",
    "Domain",
    "Encoder",
    "FieldDescription",
    "FieldError",
    "Fusion",
    "Halting",
    "Head",
    "Input",
    "ModelSpec",
    "Node",
    "Objective",
    "Place",
    "Pool",
    "Position",
    "Router",
    "Source",
    "SpecError",
    "WiredNode",
    "add_domains",
    "describe",
    "json_schema",
    "load",
    "read",
    "starter",
]
