"""The tokens that are most like what asks."""

from __future__ import annotations

from typing import Literal

from mmspec.components.selection.base import SelectK
from mmspec.ir import Scope, Value
from mmspec.ir.functions import normalise, product_of


class TopK(SelectK):
    r"""The stream looks at the k tokens of the context whose direction is most like its own.

        s_j = cos(mean_n x_n, c_j),   C' = [c_j for the k largest s_j], in their order

    It is chosen once, before the first block: keys, values and scores of all blocks are computed for k tokens only. Nothing of it
    trains; it asks for streams in one space.

    Shapes   [B, N, D], [B, M, D] -> [B, k, D], absent where there are fewer than k; 2 M D FLOPs
    Raises   ShapeError: k larger than the number of tokens
    Source   Text-Relevant Image Patch Selection, arXiv:2403.07883 (there by the attention of the text's class token)
    Differs  by the cosine with the mean of all that asks; what is not selected is not fused

        joint: {type: cross_attention, from: [image, text], selection: {type: top_k, k: 4}}
    """

    type: Literal["top_k"] = "top_k"

    def scores(self, g: Scope, asking: Value, context: Value) -> Value:
        return product_of(normalise(context), normalise(asking))
