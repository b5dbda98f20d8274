"""To what of a spec the names in a model and its files belong."""

from __future__ import annotations

from mmspec.spec import ModelSpec

KEYS = {"thresholds": "halting", "experts": "router"}  # a weight's path has the left, where the spec has the right


def place(name: str, spec: ModelSpec) -> str:
    """The path in the spec of what a weight or an input belongs to: "joint.blocks.0.feed_forward.router.weight" ->
    "fusion.joint.router", "text_mask" -> "inputs.text"; "" where there is none."""
    first, *rest = name.split(".")
    for node in spec.nodes:
        if node.name == first and rest:
            keys = [KEYS.get(segment, segment) for segment in rest if segment not in ("weight", "bias")]
            key = next((key for key in reversed(keys) if key in type(node.component).model_fields), None)
            return f"{node.path}.{key}" if key else node.path
    read = first.removesuffix("_mask")
    return f"inputs.{read}" if read in spec.inputs else ""
