"""Front end of a sound: its log-mel spectrogram."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from mmspec.ir import Scope, ShapeError, Value, unreadable
from mmspec.ir.functions import rearrange
from mmspec.spec import Encoder


class LogMel(Encoder):
    r"""A waveform as the logarithm of the power of its frequencies, in bands that are about equally wide to the ear. Nothing in it
    is trained; it is part of the model, and of the exported file, so that both hear a sound the same way.

        power[k, t] = |sum_n w[n] x[t hop + n] exp(-2 pi i k n / fft)|^2         w a Hann window
        y = (log(max(mels @ power, floor)) - shift) / spread

    The defaults are Whisper's. Those of Kaldi, as in AST:
    window 400, hop 160, fft 512, filters kaldi, low 20, reflected false, periodic false, centred true, emphasis 0.97,
    logarithm natural, floor 1.1920929e-7, below null, shift -4.2677393, spread 9.1379948.

    Shapes   f32[B, samples] -> f32[B, 1, mels, frames]
    Raises   ShapeError: the input is no waveform; a window longer than the sound or than `fft`; bands above half the rate
    Source   Whisper, arXiv:2212.04356, sec. 2.2; AST, arXiv:2104.01778, sec. 2.1; Kaldi's compute-fbank-feats
    Differs  the Fourier transform is a convolution with fixed waves, which every runtime has; it is priced as one

        mel: {type: log_mel, from: sound, mels: 80, frames: 3000}
    """

    type: Literal["log_mel"] = "log_mel"
    mels: PositiveInt = Field(80, description="bands of frequencies")
    frames: PositiveInt | None = Field(
        None, description="moments; as many as the sound has, or cut or filled with zeros before `shift`"
    )
    window: PositiveInt = Field(400, ge=2, description="samples of a frame")
    hop: PositiveInt = Field(160, description="samples between frames")
    fft: PositiveInt | None = Field(None, description="samples of the Fourier transform; the window by default")
    reflected: bool = Field(
        True, description="the sound goes on mirrored at its ends, so that a frame's middle is its place"
    )
    periodic: bool = Field(True, description="a Hann window of one sample more, without the last, or a symmetric one")
    centred: bool = Field(False, description="each frame without its own mean")
    emphasis: float = Field(0.0, ge=0, lt=1, description="how much of the sample before is taken off each, against hum")
    filters: Literal["slaney", "htk", "kaldi"] = Field(
        "slaney", description="equal area on Slaney's scale, equal height on HTK's, or that with triangles in mels"
    )
    low: NonNegativeFloat = Field(0.0, description="where the lowest band begins, in hertz")
    high: PositiveFloat | None = Field(None, description="where the highest ends; half the rate by default")
    logarithm: Literal["decimal", "natural"] = Field("decimal", description="to base 10, or e")
    floor: PositiveFloat = Field(1e-10, description="the least power, before the logarithm")
    below: PositiveFloat | None = Field(
        8.0, description="how far below the loudest a value may lie, after the logarithm"
    )
    shift: float = Field(-4.0, description="what is taken off the logarithm")
    spread: PositiveFloat = Field(4.0, description="what it is divided by then")

    def emit(self, g: Scope, sound: Value) -> Value:
        if not sound.rate:
            raise unreadable("a log_mel", "a waveform", sound, hint="inputs: {sound: {type: waveform}}")
        size, high = self.fft or self.window, self.high or sound.rate / 2
        if size < self.window:
            raise ShapeError(
                f"a Fourier transform over {size} samples is shorter than the window, {self.window}", "fft"
            )
        if not self.low < high <= sound.rate / 2:
            told = f"bands from {self.low:g} to {high:g} Hz are not below half the rate, {sound.rate / 2:g} Hz"
            raise ShapeError(told, "high" if self.high else "low")
        bins = size // 2 + 1
        how = (self.window, size, self.periodic, self.centred, self.emphasis)
        waves = g.constant("waves", "fourier_waves", *how, shape=(2 * bins, self.window))
        bands = (self.mels, size, sound.rate, self.low, high, self.filters)
        filters = g.constant("filters", "mel_filters", *bands, shape=(self.mels, bins))
        padding = self.window // 2 if self.reflected else 0
        power = g.emit("power_spectrum", sound, waves, hop=self.hop, padding=padding).named("power")
        heard = rearrange(g.emit("project", rearrange(power, "b k t -> b t k"), filters), "b t m -> b m t")
        y = g.emit("log_power", heard, floor=self.floor, natural=self.logarithm == "natural", below=self.below)
        if self.frames:
            y = g.emit("fit", y.named("loudness"), size=self.frames)
        y = (y - self.shift) * (1 / self.spread)
        return rearrange(y, "b (c m) t -> b c m t", c=1)
