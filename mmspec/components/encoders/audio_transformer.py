"""Transformer over a sound."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from mmspec.components.blocks.feed_forward import Activation, activate
from mmspec.components.blocks.pruned import PrunableStack
from mmspec.components.positions.base import SEQUENCE
from mmspec.ir import Scope, Value, unreadable
from mmspec.ir.functions import rearrange
from mmspec.spec import Encoder, FieldError


class AudioTransformer(PrunableStack, Encoder):
    """A convolutional stem over time, of a spectrogram or of a raw waveform, then transformer blocks over its moments.

        x = f(norm(conv_i(x)))  for each layer of the stem;      tokens = W norm(x)

    The spectrogram's bands are the channels of the first convolution; the waveform is one channel. The last projection, W, is there
    where the stem ends in another width than the tokens', or where `stem_projection` asks for it.

    Shapes   f32[B, C, mels, frames] or f32[B, samples] -> f32[B, N, width]
    Raises   ShapeError: the input is no sound, or shorter than the stem's kernels; heads do not divide the width
    Source   Whisper, arXiv:2212.04356, sec. 2.2 (two layers over a spectrogram); wav2vec 2.0, arXiv:2006.11477, sec. 2 (seven over
             the waveform, and `position: {type: convolutional, kernel: 128, groups: 16, activation: gelu}`)

        sound: {type: audio_transformer, width: 128, depth: 2, heads: 4, kernels: [3, 3], strides: [1, 2]}
    """

    type: Literal["audio_transformer"] = "audio_transformer"
    kernels: tuple[PositiveInt, ...] = Field((3, 3), description="of the stem's layers, in moments")
    strides: tuple[PositiveInt, ...] = Field((1, 2), description="moments from one to the next, for each layer")
    channels: PositiveInt | None = Field(None, description="of the stem's layers; the width by default")
    stem_padding: bool = Field(True, description="half a kernel of zeros at both ends, so that only strides shorten")
    stem_bias: bool = Field(True, description="biases of the convolutions")
    stem_norm: Literal["none", "channel", "layer"] = Field(
        "none", description="each channel over time after the first convolution, or all channels after every one"
    )
    stem_activation: Activation = Field("gelu", description="after each convolution")
    stem_projection: bool = Field(False, description="a norm and a linear layer after the stem, of any width")

    @model_validator(mode="after")
    def _one_stride_for_each_kernel(self) -> Self:
        if len(self.kernels) != len(self.strides):
            message = f"{len(self.strides)} strides for {len(self.kernels)} kernels"
            raise FieldError("strides", message, hint="the stem has a layer for each: kernels: [3, 3], strides: [1, 2]")
        return self

    def emit(self, g: Scope, sound: Value) -> Value:
        x = self.stem(g, self.moments(sound))
        return self.tokens(g, x, SEQUENCE)

    def moments(self, sound: Value) -> Value:
        """The input with its channels before its moments.   -> [B, C, T]"""
        if sound.rate:
            return rearrange(sound, "b (c s) -> b c s", c=1)
        if len(sound.shape) == 4:
            return rearrange(sound, "b c m t -> b (c m) t")
        raise unreadable("an audio_transformer", "a sound or a spectrogram", sound)

    def stem(self, g: Scope, x: Value) -> Value:
        """[B, C, T] -> [B, N, width]"""
        channels = self.channels or self.width
        for index, (kernel, stride) in enumerate(zip(self.kernels, self.strides, strict=True)):
            padding = kernel // 2 if self.stem_padding else 0
            x = g.convolution(f"stem{index}", x, channels, kernel, stride, padding, bias=self.stem_bias)
            if self.stem_norm == "channel" and index == 0:
                x = g.emit("group_norm", x, name="stem_norm0", groups=channels, eps=self.norm_eps)
            elif self.stem_norm == "layer":
                x = rearrange(
                    g.norm(f"stem_norm{index}", rearrange(x, "b c t -> b t c"), self.norm_eps), "b t c -> b c t"
                )
            x = activate(x, self.stem_activation)
        x = rearrange(x, "b c t -> b t c")
        if self.stem_projection:
            x = self.normed(g, "projection_norm", x)
        return g.linear("projection", x, self.width) if self.stem_projection or x.width != self.width else x
