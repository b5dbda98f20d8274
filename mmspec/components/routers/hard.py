"""Each modality its own network."""

from __future__ import annotations

from typing import Literal

from mmspec.components.routers.base import Expert, Row, TokenRouter
from mmspec.components.routers.scored import modality_of
from mmspec.ir import Scope, Value
from mmspec.ir.functions import rearrange


class Hard(TokenRouter):
    """Each modality of a fused row has a feed-forward of its own, while attention is shared.

        y = expert_m(x),   m the modality of the token

    Shapes   [B, N, D] -> [B, N, D]
    Raises   ShapeError: there is only one modality in the row
    Source   VLMo, arXiv:2111.02358, sec. 3.2 (V-FFN and L-FFN of the MoME transformer)
    Differs  the last layers of VLMo have a third expert for both modalities together

        joint: {type: transformer, from: [image, text], router: hard}
    """

    type: Literal["hard"] = "hard"

    def route(self, g: Scope, name: str, x: Value, expert: Expert, row: Row) -> Value:
        def mixture(g: Scope, x: Value) -> Value:
            choice = g.emit("one_choice", modality_of(g, x, row, "router")).named("choice")
            count = len(row.streams)
            answers = g.experts("experts", expert.body, choice, x, count=count, arguments=expert.arguments)
            y = rearrange(answers, "b n k d -> b (n k) d")
            y.mask = x.mask
            return y

        arguments = {"width": x.width, "experts": len(row.streams), **expert.arguments}
        doc = f"Each of {len(row.streams)} modalities has its own expert."
        y: Value = g.call(name, "MixtureOfExperts", mixture, x, arguments=arguments, doc=doc)
        return y
