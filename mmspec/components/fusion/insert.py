"""Tokens of one modality at the places that a text keeps for them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt

from mmspec.components.fusion.base import adapted
from mmspec.ir import Scope, ShapeError, Value, told
from mmspec.spec import Fusion


class InsertFusion(Fusion):
    """The k-th token of the second stream replaces the k-th token of the first whose id is `placeholder`.

        Y[n] = Z[k]  where ids[n] = placeholder, the k-th such place of the sample,   X[n] elsewhere

    `from` names the embedded text, the tokens to put in, and the ids. A sample whose text does not keep exactly as many places as
    there are tokens is an error when the model runs; an exported file cannot raise it.

    Shapes   f32[B, N, D], f32[B, M, E], i64[B, N] -> f32[B, N, D]
    Raises   ShapeError: the streams are no tokens, the ids are not those of the text, or the second stream has no fixed number
    Source   LLaVA, arXiv:2304.08485, sec. 4.1
    Differs  the published code counts places and tokens over a whole batch, so that one sample's image may slip into another

        joint: {type: insert, from: [text, image, inputs.text], placeholder: 5}
    """

    type: Literal["insert"] = "insert"
    placeholder: NonNegativeInt = Field(description="the id of the places")

    def emit(self, g: Scope, *sources: Value) -> Value:
        if len(sources) != 3:
            raise ShapeError("it takes a text, the tokens to put in, and the text's ids", "from", hint=_READS)
        x, tokens, ids = sources
        for value in (x, tokens):
            if len(value.shape) != 3 or value.dtype != "f32":
                raise ShapeError(
                    f"what is put in and where are tokens, and {value.name} is {told(value)}", "from", hint=_READS
                )
        if ids.dtype != "i64" or ids.shape != x.shape[:2]:
            raise ShapeError(f"the third is not the ids of {x.name}", "from", hint=_READS)
        if self.placeholder >= ids.bound:
            raise ShapeError(f"the ids of the text are below {ids.bound}", "placeholder")
        if not isinstance(tokens.tokens, int):
            raise ShapeError(f"how many tokens {tokens.name} has is not known before it runs", "from")
        return g.emit("insert_tokens", x, adapted(g, tokens, x.width), ids.named("ids"), placeholder=self.placeholder)


_READS = "from: [text, image, inputs.text] names an embedded text, other tokens, and the text as ids"
