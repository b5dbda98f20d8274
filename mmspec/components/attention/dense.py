"""Every token sees every other, or every earlier one."""

from __future__ import annotations

from typing import Literal

from mmspec.components.attention.base import Attention
from mmspec.components.positions.base import Layout
from mmspec.ir import Scope, Value


class Full(Attention):
    """Every token sees every token that is present.

    Source   Attention Is All You Need, arXiv:1706.03762, eq. 1

        text: {type: text_transformer, attention: full}
    """

    type: Literal["full"] = "full"

    def mix(
        self,
        g: Scope,
        query: Value,
        key: Value,
        value: Value,
        layout: Layout,
        mask: Value | None = None,
        bias: Value | None = None,
        scale: float | None = None,
    ) -> Value:
        return g.scores(query, key, value, mask, bias, causal=self.is_causal, scale=scale)


class Causal(Full):
    """A token sees itself and what stands before it.

    Source   Attention Is All You Need, arXiv:1706.03762, sec. 3.2.3

        text: {type: text_transformer, attention: causal}
    """

    type: Literal["causal"] = "causal"  # type: ignore[assignment]

    @property
    def is_causal(self) -> bool:
        return True
