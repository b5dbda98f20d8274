"""Transformer over a clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from mmspec.components.attention.axial import Axial
from mmspec.components.attention.base import Attention
from mmspec.components.attention.dense import Full
from mmspec.components.attention.heads import Heads
from mmspec.components.blocks.attention import attention
from mmspec.components.blocks.transformer import TransformerStack
from mmspec.components.positions.absolute import Learned, NoPosition
from mmspec.components.positions.base import Layout, Position
from mmspec.ir import Scope, ShapeError, Value, unreadable
from mmspec.ir.functions import part, rearrange
from mmspec.ir.scope import Body
from mmspec.spec import Encoder, FieldError

OF_DIVIDED = ("first", "time_projection", "time_attention")


class VideoTransformer(TransformerStack, Encoder):
    """Patches of a clip, each from one frame or from a few (a tubelet), as tokens through transformer blocks.

    joint      every token sees the whole clip
    divided    in every block a token sees what is at its own place over time, then its own frame (or `first: space`):
               x = x + W Time(norm(x));  x = x + Space(norm(x));  x = x + FeedForward(norm(x))
    separate   every frame by itself; what is read from `clip.class` is a token for each frame

    The class token belongs to no time: it takes no part in attention over time, and in every frame's attention over space; the mean
    of what it has become there goes on. Positions in the frame are `position`'s, moments are `time_position`'s; where that is none,
    joint attention has one of `position` for every token. A factorised encoder is a `separate` one with a `token_transformer` after
    it.

    A bounded memory is `time_attention: {type: window, size: 4, causal: true}`: what a block carries from moment to moment are the
    keys and values of the last four at each place, and two blocks in a row reach back eight.

    Shapes   f32[B, T, C, H, W] -> f32[B, N, width], frame by frame; ports f32[B, width] (a row of them where frames are separate)
             and f32[B, T' * patches, width]
    Raises   ShapeError: patches or tubelets do not tile the clip; heads do not divide the width; the input is no video
    Source   TimeSformer, arXiv:2102.05095, sec. 3 (divided); ViViT, arXiv:2103.15691, sec. 3.2 (tubelets), 3.3 (joint: model 1,
             separate: the first half of model 2, divided with `first: space` and no projection: model 3)

        clip: {type: video_transformer, patch_size: 16, width: 128, depth: 2, heads: 4, class_token: true}
    """

    type: Literal["video_transformer"] = "video_transformer"
    patch_size: PositiveInt = Field(16, description="side of a patch in pixels; it must divide the frame's")
    tubelet: PositiveInt = Field(1, description="frames of a token; it must divide the clip's")
    class_token: bool = Field(False, description="a trained token in front, which heads may read as `clip.class`")
    space_time: Literal["joint", "divided", "separate"] = Field("divided", description="what a token sees")
    first: Literal["time", "space"] = Field("time", description="which attention comes first, where it is divided")
    time_projection: bool = Field(
        False, description="one more linear layer after attention over time, as in TimeSformer"
    )
    time_attention: Attention = Field(
        default_factory=Full,
        description="which moments see which: causal ones remember the past alone, and a bounded one",
    )
    time_position: Position = Field(default_factory=Learned, description="how tokens are told when they are")

    @model_validator(mode="after")
    def _no_field_is_unread(self) -> Self:
        unread = () if self.space_time == "divided" else OF_DIVIDED
        for name in (*unread, "time_position") if self.space_time == "separate" else unread:
            field = type(self).model_fields[name]
            if getattr(self, name) != field.get_default(call_default_factory=True):
                raise FieldError(name, f"{name} says nothing where attention is {self.space_time}")
        if self.space_time == "joint" and self.time_position.inside:
            kind = self.time_position.type  # type: ignore[attr-defined]
            hint = f"position: {kind}, time_position: none"
            raise FieldError("time_position", f"{kind} is for attention over time, and here it is joint", hint=hint)
        return self

    def emit(self, g: Scope, video: Value) -> Value | Mapping[str, Value]:
        x, grid = self.patches(g, video)
        front = int(self.class_token)
        frames = grid[0]
        whole = self.space_time == "joint" and isinstance(self.time_position, NoPosition)
        if whole:
            x = rearrange(x, "(b t) p d -> b (t p) d", t=frames)
        if front:
            x = g.prepend("class_token", 1, x).named("x")
        if whole:
            return self.ports(self.tokens(g, x, Layout(grid, front)))
        if self.space_time == "separate":
            y = self.tokens(g, x, Layout(grid[1:], front))
            return self.ports_of_frames(y, frames)
        x = self.position.add(g, x, Layout(grid[1:], front))
        x, *moments = self.placed_in_time(g, rearrange(x, "(b t) n d -> b t n d", t=frames).named("x"))
        placed = self.model_copy(update={"position": self.position if self.position.inside else NoPosition()})
        if self.space_time == "divided":
            placed = placed.model_copy(update={"attention": Axial(axes=(1, 2), pattern=self.attention)})
        return self.ports(placed.tokens(g, x, Layout(grid, front), context=tuple(moments)))

    def patches(self, g: Scope, video: Value) -> tuple[Value, tuple[int, int, int]]:
        """Tokens of every moment, and how many moments, rows and columns there are.   -> [B * T, H * W, width]"""
        if len(video.shape) != 5:
            raise unreadable("a video_transformer", "a clip", video)
        sizes = (("tubelet", self.tubelet, video.shape[1]), ("patch_size", self.patch_size, video.shape[3]))
        for name, own, all_of in sizes:
            if not isinstance(all_of, int) or all_of % own:
                what = f"tubelets of {own} do not tile {all_of} frames"
                what = what if name == "tubelet" else f"patches of {own} do not tile a frame of {all_of}"
                raise ShapeError(what, name, hint=f"{all_of} can be divided by {divisors(all_of)}")
        side = self.patch_size
        if self.tubelet == 1:  # the patch embedding of an image, whose weights it may take
            flat = rearrange(video, "b t c h w -> (b t) c h w").named("frames")
            mapped = g.convolution("patches", flat, self.width, side, side)
            frames = video.shape[1]
            x = rearrange(mapped, "n d h w -> n (h w) d").named("x")
        else:
            kernel = (self.tubelet, side, side)
            mapped = g.convolution("patches", rearrange(video, "b t c h w -> b c t h w"), self.width, kernel, kernel)
            frames = mapped.shape[2]
            x = rearrange(mapped, "b d t h w -> (b t) (h w) d").named("x")
        rows, columns = mapped.shape[-2:]
        assert isinstance(frames, int) and isinstance(rows, int) and isinstance(columns, int)
        return x, (frames, rows, columns)

    def placed_in_time(self, g: Scope, x: Value) -> tuple[Value, ...]:
        """Tokens frame by frame, with their moments: [B, T, N, D] -> [B, N, D]; and what attention over time is handed."""
        frames, count = x.shape[1], x.shape[2] - int(self.class_token)
        assert isinstance(frames, int) and isinstance(count, int)
        moments: tuple[Value, ...] = ()
        patches = part(x, 1, axis=2) if self.class_token else x
        if self.time_position.inside:
            head_width = self.attention_heads(Layout()).width_of_head(x.width)
            causal = self.time_attention.is_causal
            like = rearrange(patches, "b t p d -> (b p) t d")

            def tables(g: Scope, x: Value) -> tuple[Value, ...]:
                return self.time_position.shared(g, x, Layout(), self.heads, head_width, causal)

            moments = g.call("time", "Moments", tables, like)
            tokens = rearrange(patches, "b t p d -> b (t p) d")
        else:

            def placed(g: Scope, x: Value) -> Value:
                return self.time_position.add(g, x, Layout())

            tokens = rearrange(patches, "b t p d -> (b p) t d").named("places")
            if not isinstance(self.time_position, NoPosition):
                tokens = g.call("time", "Moments", placed, tokens)
            tokens = rearrange(tokens, "(b p) t d -> b (t p) d", p=count).named("patches")
        if self.class_token:  # the same in every frame
            first = rearrange(part(part(x, 0, 1, axis=2), 0, 1), "b t n d -> b (t n) d").named("front")
            tokens = g.row(first, tokens)
        return tokens, *moments

    def block(self, how: Heads, contexts: int, drop_path: float, routed: bool) -> Body:
        if self.space_time != "divided":
            return super().block(how, contexts, drop_path, routed)
        layout = how.layout
        over_time = Axial(axes=(0,), pattern=self.time_attention)
        time = replace(how, pattern=over_time, position=self.time_position, layout=replace(layout, prefix=0))

        def body(g: Scope, x: Value, *handed: Value) -> Value:
            moments, shared = handed[:contexts], handed[contexts:]

            def along_time(g: Scope, normed: Value) -> Value:
                y = attention(g, "time_attention", normed, normed, time, *moments, router=self.attention_router)
                return g.linear("time_projection", y, y.width, self.bias) if self.time_projection else y

            def in_space(g: Scope, normed: Value) -> Value:
                return attention(g, "attention", normed, normed, how, *shared, router=self.attention_router)

            def over(x: Value) -> Value:
                """The class token belongs to no time."""
                patches = part(x, layout.prefix).named("patches") if layout.prefix else x
                patches = self.sublayer(g, "_time", patches, along_time, drop_path).named("patches")
                return g.row(part(x, 0, layout.prefix).named("front"), patches).named("x") if layout.prefix else patches

            x = over(x) if self.first == "time" else self.sublayer(g, "1", x, in_space, drop_path)
            x = self.sublayer(g, "1", x, in_space, drop_path) if self.first == "time" else over(x)
            return self.sublayer(g, "2", x, self.network(routed, layout), drop_path)

        return body

    def ports(self, tokens: Value) -> Value | Mapping[str, Value]:
        if not self.class_token:
            return tokens
        first = rearrange(part(tokens, 0, 1), "b n d -> b (n d)").named("class")
        return {"": tokens, "class": first, "patches": part(tokens, 1).named("patches")}

    def ports_of_frames(self, tokens: Value, frames: int) -> Value | Mapping[str, Value]:
        """[B * T, n, D] -> [B, T * n, D]"""
        row = "(b t) n d -> b (t n) d"
        if not self.class_token:
            return rearrange(tokens, row, t=frames)
        first = rearrange(part(tokens, 0, 1), row, t=frames).named("class")
        patches = rearrange(part(tokens, 1), row, t=frames).named("patches")
        return {"": rearrange(tokens, row, t=frames), "class": first, "patches": patches}


def divisors(size: object) -> str:
    assert isinstance(size, int)
    return ", ".join(str(d) for d in range(1, size + 1) if size % d == 0)
