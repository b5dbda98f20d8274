"""What a router does: it puts one network, or several and a choice among them, in the place of a feed-forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mmspec.ir import Dim, Scope, ShapeError, Value
from mmspec.ir.scope import Body
from mmspec.spec import Router


@dataclass(frozen=True)
class Row:
    """The tokens among which a router stands: the modalities of a fused row with their lengths, and whether what is said of a token
    must not depend on later ones."""

    streams: tuple[tuple[str, Dim], ...] = ()
    causal: bool = False


ROW = Row()


@dataclass(frozen=True)
class Expert:
    """The network of which there are copies: `body(g, x, *others)`, its class and what sets it apart from others of that class;
    where experts differ, one body for each of them in `kinds`, and the class of each distinct one."""

    body: Body
    class_name: str
    arguments: Mapping[str, Any]
    kinds: tuple[Body, ...] = ()
    kind_names: tuple[str, ...] = ()


class TokenRouter(Router):
    """Which experts a token goes to."""

    sees_tokens: ClassVar[bool] = True  # where it sends samples

    def route(self, g: Scope, name: str, x: Value, expert: Expert, row: Row) -> Value:
        """The network as the module `name` of `g`, or copies of it behind a choice.   [B, N, D] -> [B, N, D]"""
        raise NotImplementedError

    def route_samples(self, g: Scope, name: str, expert: Expert, *values: Value, seen: int = 1) -> Value:
        """The same for whole samples, chosen by the pooled tokens of the first `seen` values.
        [B, N, D], ... -> [B, N, D].   Raises ShapeError"""
        message = f"a router of type {self.type} sends tokens, not samples"  # type: ignore[attr-defined]
        raise ShapeError(message, "router", hint="soft, top_k, task and learned send samples")
