"""What a user may write: YAML with positions, components, domains, reuse, wiring, diagnostics. Knows YAML; knows no torch."""

from mmspec.spec.catalogue import Catalogue
from mmspec.spec.component import Component, FieldError
from mmspec.spec.roles import Decoder, Encoder, Fusion, Halting, Head, Input, Node, Objective, Pool, Router

__all__ = [
    "Catalogue", "Component", "Decoder", "Encoder", "FieldError", "Fusion", "Halting", "Head", "Input", "Node", "Objective",
    "Pool", "Router",
]
