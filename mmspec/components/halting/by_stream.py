"""Each stream of a fusion stops for itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat

from mmspec.ir import Scope, ShapeError, Value
from mmspec.ir.scope import Body
from mmspec.spec import Halting


class ByStream(Halting):
    """One stream of a sample may stop before another: a stream whose tokens hardly change is computed no further, and the others
    go on to see it as it is.

        stream i of a sample stops after block n  if  |X_i^n - X_i^{n-1}| / |X_i^{n-1}| < threshold_i

    Norms run over the tokens that are present. In training every stream runs through all blocks. `joint.image.exit` is the block,
    from 0, after which a sample's stream `image` stopped.

    Raises   ShapeError: a fusion that is no transformer of several streams; as many thresholds as there are not streams
    Source   the saturation of hidden states, CALM, arXiv:2207.07061, sec. 3.3, here of each modality

        joint: {type: transformer, from: [image, text], streams: multi, halting: {type: by_stream, threshold: 0.05}}
    """

    type: Literal["by_stream"] = "by_stream"
    threshold: NonNegativeFloat | tuple[NonNegativeFloat, ...] = Field(
        0.05,
        description="relative change below which a stream stops, 0 never; or one for each stream, in the order of `from`",
    )

    def stack(self, g: Scope, depth: int, streams: tuple[Value, ...], body: Body) -> tuple[Value, ...]:
        """`depth` blocks; `body(g, x, context)` is what a block makes of one stream that sees the others.   Raises ShapeError"""
        thresholds = self.threshold if isinstance(self.threshold, tuple) else (self.threshold,) * len(streams)
        if len(thresholds) != len(streams):
            message = f"{len(thresholds)} thresholds for {len(streams)} streams"
            raise ShapeError(message, "halting.threshold")
        names = [stream.name for stream in streams]

        def block(g: Scope, carried: tuple[Value, ...]) -> tuple[Value, ...]:
            current, going, steps = (carried[i * len(names) : (i + 1) * len(names)] for i in range(3))
            after, still = [], []
            for i, (name, x) in enumerate(zip(names, current, strict=True)):
                others = current[:i] + current[i + 1 :]
                context = others[0] if len(others) == 1 else g.row(*others)
                choice = g.emit("stopped", going[i]).named("choice")
                found = g.experts(name, body, choice, x, context, count=1, room=1, class_names=("Stream",))
                after.append(g.emit("updated", x, found, choice).named(name))
                seen = (x, after[-1], going[i], *([x.mask] if x.mask is not None else []))
                still.append(g.emit("still", *seen, name=f"{name}_still", threshold=thresholds[i]))
            return (*after, *still, *(n + g for n, g in zip(steps, going, strict=True)))

        begun = [g.emit("going", x).named(f"{name}_going") for name, x in zip(names, streams, strict=True)]
        steps = [(flag - 2).named(f"{name}_steps") for name, flag in zip(names, begun, strict=True)]
        result = g.stack("blocks", depth, block, (*streams, *begun, *steps), class_name="MultiStreamBlock")
        for name, count in zip(names, result[2 * len(names) :], strict=True):
            g.taps[f"{name}.exit"] = g.emit("as_exit", count).named(f"{name}_exit")
        return tuple(result[: len(names)])
