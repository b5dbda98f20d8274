"""Primitives that turn a waveform into a spectrogram."""

from __future__ import annotations

from typing import Any

from mmspec.ir.dims import Dim, Shape, product
from mmspec.ir.graph import Op, Value
from mmspec.ir.primitives.base import Primitive, ShapeError, ShapeOf, primitive


@primitive
class PowerSpectrum(Primitive):
    """The power of each frequency in overlapping frames, as a convolution with fixed waves: rows of `waves` are the cosines of all
    frequencies, then their sines. A waveform is reflected by `padding` samples at its ends.
    [B, S], [2 K, W] -> [B, K, (S + 2 padding - W) / hop + 1]"""

    kind = "power_spectrum"
    family = "convolution"
    operations = 3

    def infer(self, x: Value, waves: Value, *, hop: int, padding: int) -> tuple[Shape, str]:
        samples, window, rows = x.shape[1], waves.shape[1], waves.shape[0]
        assert isinstance(samples, int) and isinstance(window, int) and isinstance(rows, int)
        if samples + 2 * padding < window or samples <= padding:
            raise ShapeError(f"a window of {window} samples is longer than the sound, {samples}", "window")
        return (x.shape[0], rows // 2, (samples + 2 * padding - window) // hop + 1), x.dtype

    def flops(self, op: Op, shape: ShapeOf) -> Dim:
        window: Dim = shape(op.inputs[1])[1]
        return 4 * product(shape(op.outputs[0])) * window

    def run(self, torch: Any, module: Any, op: Op, x: Any, waves: Any) -> Any:
        return torch.runtime.power_spectrum(x, waves, op.attributes["hop"], op.attributes["padding"])


@primitive
class LogPower(Primitive):
    """The logarithm, to base 10 or `natural`, of a power of at least `floor`; where `below` is given, at most so far below the
    loudest of its sample.   [B, K, T] -> [B, K, T]"""

    kind = "log_power"
    operations = 2

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        a = op.attributes
        unusual = {key: a[key] for key, usual in (("natural", False), ("below", None)) if a[key] != usual}
        return torch.runtime.log_power(x, a["floor"], **unusual)


@primitive
class Fit(Primitive):
    """The first `size` entries of the last axis, zeros after its end.   [..., T] -> [..., size]"""

    kind = "fit"
    operations = 0

    def infer(self, x: Value, *, size: int) -> tuple[Shape, str]:
        return (*x.shape[:-1], size), x.dtype

    def mask(self, *_: Value, **__: Any) -> None:
        return None

    def run(self, torch: Any, module: Any, op: Op, x: Any) -> Any:
        size, length = op.attributes["size"], op.inputs[0].shape[-1]
        return x[..., :size] if size <= length else torch.nn.functional.pad(x, (0, size - length))
