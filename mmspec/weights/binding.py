"""Which node of a spec each of a layout's words means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmspec.errors import UserError
from mmspec.spec import ModelSpec, WiredNode
from mmspec.weights.layout import Layout, NodeRule


@dataclass(frozen=True)
class Bound:
    """Node names by the layout's words, and why the others have none."""

    nodes: Mapping[str, str]
    missing: Mapping[str, str]

    def name(self, ours: str) -> str | None:
        """A layout's name of ours by the node's own name; None where the spec has no such node."""
        word, dot, rest = ours.partition(".")
        return f"{self.nodes[word]}{dot}{rest}" if word in self.nodes else None


def bind(layout: Layout, spec: ModelSpec, said: Mapping[str, str], only: str = "") -> Bound:
    """Bind a layout's words: as `said`, else to the only node that fits; with `only`, to that node where it fits.

    Raises   UserError: several nodes fit, or what is said is not there.
    """
    known = {node.name: node for node in spec.nodes}
    wrong = [f"{word}: {name}" for word, name in said.items() if name not in known or word not in layout.nodes]
    if wrong:
        raise UserError(
            f"`nodes` says {', '.join(wrong)}; the layout {layout.name} has {', '.join(layout.nodes)}, the spec {', '.join(known)}"
        )
    nodes: dict[str, str] = dict(said)
    missing: dict[str, str] = {}
    for word, rule in layout.nodes.items():
        if word in nodes:
            continue
        fitting = [node.name for node in spec.nodes if _fits(node, rule, nodes)]
        if only in fitting:
            fitting = [only]
        if len(fitting) == 1:
            nodes[word] = fitting[0]
        elif fitting and not only:
            raise UserError(
                f"the layout {layout.name} loads {word}, {rule}, and {spec.name} has several: {', '.join(fitting)}; "
                f"say which with `nodes: {{{word}: {fitting[0]}}}`"
            )
        else:
            missing[word] = str(rule)
    return Bound(nodes, missing)


def _fits(node: WiredNode, rule: NodeRule, nodes: Mapping[str, str]) -> bool:
    if node.path.partition(".")[0] != rule.section or node.component.type not in rule.type:  # type: ignore[attr-defined]
        return False
    if not rule.reads:
        return True
    read = {f"{source.path.partition('.')[2]}{source.port and '.'}{source.port}" for source in node.sources}
    wanted = {
        f"{nodes[word]}{dot}{port}" for word, dot, port in (r.partition(".") for r in rule.reads) if word in nodes
    }
    return bool(read & wanted)
