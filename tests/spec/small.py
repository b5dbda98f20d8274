"""A catalogue of small components, enough to write any spec of these tests."""

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from mmspec.spec import Catalogue, Decoder, Encoder, FieldError, Fusion, Halting, Head, Input, Objective, Pool, Router


class Image(Input):
    """An image."""

    type: Literal["image"] = "image"
    size: PositiveInt = Field(32, description="pixels of a side")
    channels: PositiveInt = 3


class Text(Input):
    """A text."""

    type: Literal["text"] = "text"
    vocab_size: PositiveInt = 512
    length: PositiveInt = 24


class Vit(Encoder):
    """Patches, then a transformer."""

    type: Literal["vit"] = "vit"
    patch_size: PositiveInt = Field(description="pixels of a patch's side")
    width: PositiveInt = Field(128, description="channels of a token")
    depth: PositiveInt = Field(4, description="blocks")
    heads: PositiveInt = 4
    dropout: float = Field(0.0, ge=0, lt=1)
    stages: tuple[PositiveInt, ...] = ()

    @model_validator(mode="after")
    def heads_divide_the_width(self) -> Self:
        if self.width % self.heads:
            raise FieldError(
                "heads", f"{self.heads} heads do not divide the width {self.width}", hint="heads: 1, 2, 4, ..."
            )
        return self


class TextTransformer(Encoder):
    """Tokens, then a transformer."""

    type: Literal["text_transformer"] = "text_transformer"
    width: PositiveInt = 128
    depth: PositiveInt = 3
    heads: PositiveInt = 4
    position: Literal["learned", "none"] = "learned"


class Dense(Router):
    """All tokens through one feed-forward."""

    type: Literal["dense"] = "dense"


class TopK(Router):
    """The best experts for each token."""

    type: Literal["top_k"] = "top_k"
    experts: PositiveInt = 4
    k: PositiveInt = 2
    balance: float = Field(0.01, ge=0)


class Never(Halting):
    """No exits."""

    type: Literal["none"] = "none"


class Confidence(Halting):
    """Stop when sure."""

    type: Literal["confidence"] = "confidence"
    threshold: float = Field(0.9, gt=0, le=1)
    head: str | None = None


class Gated(Fusion):
    """Gate between self and cross."""

    type: Literal["gated"] = "gated"
    depth: PositiveInt = Field(2, description="fusion blocks")
    router: Router = Field(default_factory=Dense)
    halting: Halting = Field(default_factory=Never)


class Concat(Fusion):
    """Tokens in a row."""

    type: Literal["concat"] = "concat"
    width: PositiveInt | Literal["sum"] = "sum"


class Mean(Pool):
    """The mean over tokens."""

    type: Literal["mean"] = "mean"


class Classification(Head):
    """One of some classes."""

    type: Literal["classification"] = "classification"
    classes: PositiveInt
    pool: Pool | None = Field(default_factory=Mean)


class Captioning(Decoder):
    """Words again."""

    type: Literal["captioning"] = "captioning"
    layers: tuple[Router, ...] = ()


class CrossEntropy(Objective):
    """-log p."""

    type: Literal["cross_entropy"] = "cross_entropy"
    target: str = Field(description="a column of the data")


CATALOGUE = Catalogue(
    (
        Image, Text, Vit, TextTransformer, Dense, TopK, Never, Confidence, Gated, Concat, Mean, Classification, Captioning,
        CrossEntropy,
    )
)  # fmt: skip

FLAGSHIP = """\
name: fusion_gated
inputs:
  image: {type: image, size: 32, channels: 3}
  text:  {type: text, vocab_size: 512, length: 24}
encoders:
  image: {type: vit, patch_size: 8, width: 128, depth: 4, heads: 4}
  text:  {type: text_transformer, width: 128, depth: 3, heads: 4}
fusion:
  joint:
    type: gated
    from: [image, text]
    depth: 2
    router:  {type: top_k, experts: 4, k: 2, balance: 0.01}
    halting: {type: confidence, threshold: 0.9, head: label}
heads:
  label: {type: classification, classes: 12}
objectives:
  - {type: cross_entropy, head: label, target: answer}
"""
