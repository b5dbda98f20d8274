"""From a graph to its picture."""

from __future__ import annotations

from mmspec.cost.quantities import quantity
from mmspec.drawing.diagram import Diagram, Priced, diagram
from mmspec.drawing.layout import layout
from mmspec.drawing.svg import TOP, svg
from mmspec.ir import Graph


def draw(graph: Graph, profile: Priced | None = None) -> str:
    """An SVG of the model: inputs on the left, outputs on the right; with a profile, each node's share of the FLOPs."""
    drawn = diagram(graph, profile)
    return svg(drawn, layout(drawn, TOP), drawn.name, _subtitle(drawn), _description(drawn))


def _subtitle(drawn: Diagram) -> str:
    facts = [f"{quantity(drawn.parameters)} parameters"]
    if drawn.flops is not None:
        facts.append(f"{quantity(drawn.flops, 'FLOPs')}, batch {drawn.batch}")
    facts += [f"{name} up to {limit} tokens" for name, limit in drawn.lengths.items()]
    return "  ·  ".join(facts)


def _description(drawn: Diagram) -> str:
    """The diagram in words, for who does not see it."""
    sentences = []
    for key, box in sorted(drawn.boxes.items(), key=lambda item: item[1].role == "head"):  # what they read comes first
        sources = [drawn.boxes[edge.source].name for edge in drawn.edges if edge.target == key and not edge.dashed]
        if box.role not in ("input", "output"):
            sentences.append(f"{box.name} ({box.role}, {box.kind}) reads {' and '.join(sources) or 'nothing'}.")
    return " ".join(sentences)
