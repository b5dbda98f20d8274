"""What enters a model."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from mmspec.ir import Scope, Value, symbol
from mmspec.ir.functions import rearrange
from mmspec.spec import FieldError, Input


class Image(Input):
    """A picture, or several `views` of each: from then on they lie side by side in the batch, as pictures of their own.

    A view is a part of the picture, drawn anew at every step of training; to be measured, a model sees the whole. Two inputs may
    show one `column` of the data, at sizes of their own.

    Shapes   f32[B, channels, size, size]; with views f32[B, views, channels, size, size], which goes on as [B views, ...]
    Raises   FieldError: an `area` that is no range within (0, 1]
    Source   `area` and `mirror`: Going Deeper with Convolutions, arXiv:1409.4842, sec. 6; sizes of views SwAV, arXiv:2006.09882

        image: {type: image, size: 32, channels: 3}
    """

    type: Literal["image"] = "image"
    size: PositiveInt = Field(224, description="side in pixels")
    channels: PositiveInt = Field(3, description="3 for colour, 1 for grey")
    views: PositiveInt = Field(1, description="pictures of one thing, to be compared")
    area: tuple[float, float] | None = Field(
        None,
        description="least and largest share of a picture that is shown in training; all of it, of several views [0.4, 1]",
    )
    mirror: bool = Field(False, description="show every other picture mirrored in training, left for right")
    column: str | None = Field(
        None, description="the column of the data that it shows; that of its own name by default"
    )

    @model_validator(mode="after")
    def _a_range_of_shares(self) -> Self:
        if self.area is not None and not 0 < self.area[0] <= self.area[1] <= 1:
            message = f"shares of a picture lie above 0 and up to 1, the least first, not {list(self.area)}"
            raise FieldError("area", message, hint="area: [0.4, 1.0]")
        return self

    def emit(self, g: Scope, name: str) -> Value:
        sizes = (self.channels, self.size, self.size)
        if self.views == 1:
            return g.input(name, (symbol("B"), *sizes))
        return rearrange(g.input(name, (symbol("B"), self.views, *sizes)), "b v c h w -> (b v) c h w").named("views")


class Text(Input):
    """A text as token ids. Its mask says which are present: `<name>_mask`; or, where texts have an `end`, all up to the first of
    it; or every id that is not `pad` (a text begins with its `start`, whatever its id).

    Shapes   i64[B, N], mask bool[B, N], N up to `length`
    Raises   FieldError: the end is no id of the vocabulary

        text: {type: text, vocab_size: 257, length: 32}
    """

    type: Literal["text"] = "text"
    vocab_size: PositiveInt = Field(257, description="ids are below it; the built-in byte tokenizer needs 257")
    length: PositiveInt = Field(64, description="the longest text, in tokens")
    pad: NonNegativeInt | None = Field(0, description="the id that fills up short texts; null: every id is a token")
    start: NonNegativeInt | None = Field(
        None, description="the id that every text begins with, as a decoder's does; T5 begins with the id of padding"
    )
    end: NonNegativeInt | None = Field(
        None, description="the id that every text ends with; what follows is absent, whatever its id, as in CLIP"
    )

    @model_validator(mode="after")
    def _the_end_is_an_id(self) -> Self:
        if self.end is not None and self.end >= self.vocab_size:
            raise FieldError("end", f"ids are below {self.vocab_size}, and the end is {self.end}")
        return self

    def emit(self, g: Scope, name: str) -> Value:
        assert g.program is not None
        size = "N" if "N" not in g.program.limits else f"N_{name}"
        g.program.limits[size] = self.length
        shape = (symbol("B"), symbol(size))
        ids = g.input(name, shape, "i64", bound=self.vocab_size)
        given = g.input(f"{name}_mask", shape, "bool")
        unusual: dict[str, Any] = {} if self.start is None else {"begun": True}
        if self.end is not None:
            unusual["end"] = self.end
        ids.mask = g.emit("token_mask", ids, given, pad=self.pad, **unusual).named(f"{name}_present")
        return ids


class Waveform(Input):
    """A sound as samples around zero, of one channel. Shorter ones are filled up with silence: no mask says where a sound ends.

    Shapes   f32[B, rate * seconds]

        sound: {type: waveform, rate: 16000, seconds: 10}
    """

    type: Literal["waveform"] = "waveform"
    rate: PositiveInt = Field(16000, description="samples per second")
    seconds: PositiveFloat = Field(10.0, description="how long a sound is")

    @cached_property
    def samples(self) -> int:
        return max(1, round(self.rate * self.seconds))

    def emit(self, g: Scope, name: str) -> Value:
        return g.input(name, (symbol("B"), self.samples), rate=self.rate)


class Spectrogram(Input):
    """A sound as the power of its frequencies over time, made before the model sees it: a picture of `mels` rows, low ones first,
    and `frames` columns. Shorter sounds are filled up, with what the published front end fills up with.

    Shapes   f32[B, channels, mels, frames]

        sound: {type: spectrogram, mels: 128, frames: 1024}
    """

    type: Literal["spectrogram"] = "spectrogram"
    mels: PositiveInt = Field(80, description="bands of frequencies")
    frames: PositiveInt = Field(3000, description="moments, usually of 10 milliseconds")
    channels: PositiveInt = Field(1, description="2 for stereo")

    def emit(self, g: Scope, name: str) -> Value:
        return g.input(name, (symbol("B"), self.channels, self.mels, self.frames))


class Video(Input):
    """A clip of pictures.

    Shapes   f32[B, frames, channels, size, size]

        clip: {type: video, frames: 8, size: 224}
    """

    type: Literal["video"] = "video"
    frames: PositiveInt = Field(8, description="pictures")
    size: PositiveInt = Field(224, description="side of each in pixels")
    channels: PositiveInt = Field(3, description="3 for colour, 1 for grey")

    def emit(self, g: Scope, name: str) -> Value:
        return g.input(name, (symbol("B"), self.frames, self.channels, self.size, self.size))


class Category(Input):
    """One of several things for each sample: a task, a language, a speaker.

    Shapes   i64[B]

        task: {type: category, classes: 4}
    """

    type: Literal["category"] = "category"
    classes: PositiveInt = Field(description="how many there are; ids are below it")

    def emit(self, g: Scope, name: str) -> Value:
        return g.input(name, (symbol("B"),), "i64", bound=self.classes)


class Number(Input):
    """A number for each sample, which a caller may leave out: what is left out limits nothing.

    Shapes   f32[B]

        budget: {type: number}
    """

    type: Literal["number"] = "number"

    def emit(self, g: Scope, name: str) -> Value:
        return g.input(name, (symbol("B"),), optional=True)


class Noise(Input):
    """A number for each token, which decides by chance what a model leaves to chance. Where a caller gives none, it is drawn.

    Shapes   f32[B, length]

        noise: {type: noise, length: 196}
    """

    type: Literal["noise"] = "noise"
    length: PositiveInt = Field(description="numbers for each sample")

    def emit(self, g: Scope, name: str) -> Value:
        return g.input(name, (symbol("B"), self.length), optional=True)
