"""How well each of one modality goes with each of another."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, PositiveFloat

from mmspec.ir import Init, Scope, ShapeError, Value, told
from mmspec.spec import Head


class Contrastive(Head):
    """Every embedding of a batch against every one of the other's, by a temperature that is learnt.

        logits[i, j] = e^s <x_i, y_j> + b,   s from ln(1 / temperature) on, b only where asked for

    The first of `from` gives the rows. Scale and bias belong to the model: what it answers does not depend on its loss. In training
    s is cut back to ln(limit) before each step reads it, as the published loops do after each step; its gradient is that of the
    product, so that it may fall again.

    Shapes   f32[B, D], f32[B, D] -> f32[B, B]
    Raises   ShapeError: not two vectors of one width
    Source   CLIP, arXiv:2103.00020, sec. 2.5 (temperature 0.07, limit 100); SigLIP, arXiv:2303.15343, sec. 3.2
             (temperature 0.1, bias -10, no limit)

        similarity: {type: contrastive, from: [image_embedding, text_embedding]}
    """

    type: Literal["contrastive"] = "contrastive"
    temperature: PositiveFloat = Field(0.07, description="what the products are divided by before any training")
    limit: PositiveFloat | None = Field(100.0, description="the largest factor that training may reach")
    bias: float | None = Field(None, description="a trained number added to every logit, from this value on")

    def emit(self, g: Scope, *embeddings: Value) -> Value:
        if len(embeddings) != 2:
            message = f"a contrastive head compares two embeddings, and here are {len(embeddings)}"
            raise ShapeError(message, "from", hint=_READS)
        x, y = embeddings
        for value in embeddings:
            if len(value.shape) != 2 or value.dtype != "f32":
                raise ShapeError(
                    f"a contrastive head compares vectors, and {value.name} is {told(value)}", "from", hint=_READS
                )
        if x.width != y.width:
            raise ShapeError(
                f"{x.name} has {x.width} channels, {y.name} {y.width}", "from", hint="project to one width"
            )
        scale = g.parameter("scale", 1, init=Init("constant", -math.log(self.temperature)))
        if self.limit is not None:
            scale = g.emit("limited", scale, name="limited", upper=math.log(self.limit)).named("scale")
        logits = g.emit("project", x, y) * g.emit("exp", scale)
        return logits if self.bias is None else logits + g.parameter("bias", 1, init=Init("constant", self.bias))


_READS = "from: [image_embedding, text_embedding] names two projections"
