"""A pyramid of maps, each smaller and deeper in channels than the one before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, PositiveFloat, field_validator

from mmspec.components.blocks.transformer import in_proportion
from mmspec.components.stages.base import Downsample, Stage
from mmspec.components.stages.downsample import Patches
from mmspec.ir import Scope, ShapeError, Value, unreadable
from mmspec.ir.functions import as_tokens, part, rearrange
from mmspec.spec import Encoder


class Pyramid(Encoder):
    """An image, or another node's map of features, through stages of any kind, convolutions and attention in any order.

    The value is the places of the last map in a row, as tokens; `image.stage1`, `image.stage2`, ... are the maps after each stage,
    for what goes on from one of them: `{type: vit, from: image.stage3, patch_size: 1}`; `image.tokens1`, ... are the same places in
    a row, for what reads tokens of several scales: `{type: cross_attention, from: [text, image.tokens2, image.tokens3]}`. A class
    token of the last stage stands in front of its tokens and is `image.class` too.

    Shapes   f32[B, C, H, W] -> f32[B, N, width of the last stage]; ports f32[B, width, H', W'] and f32[B, H' W', width]
    Raises   ShapeError: what a stage is handed does not fit it; the input is no image
    Source   Swin, arXiv:2103.14030; PVT v2, arXiv:2106.13797; ConvNeXt, arXiv:2201.03545; MobileViT, arXiv:2110.02178; ResNet,
             arXiv:1512.03385: each is a list of stages

        image: {type: pyramid, stages: [{type: convnext, width: 48}, {type: transformer, width: 96, downsample: merge}]}
    """

    type: Literal["pyramid"] = "pyramid"
    stem: Downsample = Field(default_factory=Patches, description="what makes the first map of the image")
    stages: tuple[Stage, ...] = Field(description="what follows, in order")
    final_norm: bool = Field(False, description="a layer norm of the tokens after the last stage; the maps go without")
    norm_eps: PositiveFloat = Field(1e-5, description="epsilon of that norm")
    drop_path: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="stochastic depth over the blocks of all stages: how often the last is skipped, the earlier ones in "
        "proportion; a stage may have one of its own",
    )

    @field_validator("stages")
    @classmethod
    def some(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        if not stages:
            raise ValueError("a pyramid has at least one stage")
        return stages

    def emit(self, g: Scope, image: Value) -> Mapping[str, Value]:
        if len(image.shape) != 4 or image.dtype != "f32":
            raise unreadable("a pyramid", "an image or a map", image)
        x = self.stem.lead(g, "stem", image, self.stages[0].width)
        rates = in_proportion(self.drop_path, sum(stage.depth for stage in self.stages))
        ports: dict[str, Value] = {}
        for i, stage in enumerate(self.stages):
            share, rates = rates[: stage.depth], rates[stage.depth :]
            made = self.stage(g, i, stage, x, stage.skipped or share)
            x = made[""].named(f"stage{i + 1}")
            ports |= {f"stage{i + 1}": x, f"tokens{i + 1}": as_tokens(x).named(f"tokens{i + 1}")}
        tokens = made.get("tokens") or as_tokens(x)
        if self.final_norm:
            tokens = g.norm("norm", tokens, self.norm_eps)
        if "tokens" in made:
            ports["class"] = rearrange(part(tokens, 0, 1), "b n d -> b (n d)").named("class")
        return {"": tokens, **ports}

    def stage(self, g: Scope, index: int, stage: Stage, x: Value, skipped: tuple[float, ...]) -> Mapping[str, Value]:
        def body(g: Scope, x: Value) -> Value | Mapping[str, Value]:
            return stage.emit(g, x, skipped)

        name, before = f"stage{index + 1}", set(g.taps)
        try:
            doc = f"{stage.type}: {stage.depth} blocks, {stage.width} channels."  # type: ignore[attr-defined]
            made = g.call(name, f"Stage{index + 1}", body, x, doc=doc)
        except ShapeError as error:
            field = f"stages.{index}.{error.field}".rstrip(".")
            raise ShapeError(str(error), field, error.hint) from error
        for port in set(g.taps) - before:  # blocks are counted from one in each stage
            g.taps[f"{name}_{port}"] = g.taps.pop(port)
        return {"": made} if isinstance(made, Value) else made
