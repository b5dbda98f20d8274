"""Sounds: read from a file as samples around zero, of one channel.

A file becomes f32[samples]: the mean of its channels, -1 to 1, filled up with silence at the end. It must have been recorded at the
rate that the spec names, and be no longer than what the model hears: neither is changed unasked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmspec.reading.files import Array, File, opened


@dataclass(frozen=True)
class WaveformColumn:
    """How an input of type `waveform` is read.   rate: samples per second; samples: how many the model hears."""

    rate: int
    samples: int

    is_file = True

    def read(self, file: File) -> Array:
        """f32[samples] of a file.

        Raises   OSError, ValueError: with a message of a few words, when it cannot be read, or not so.
        """
        try:
            import soundfile
        except ImportError:
            raise ValueError("reading sounds needs the package soundfile: pip install 'mmspec[audio]'") from None
        with opened(file) as stream:
            try:
                with soundfile.SoundFile(stream) as source:
                    rate, length = source.samplerate, source.frames
                    sound = source.read(
                        self.samples, dtype="float32", always_2d=True
                    )  # silence may be long in a small file
            except soundfile.LibsndfileError:
                raise ValueError("not a sound of a known kind (WAV, FLAC, OGG, ...)") from None
        if rate != self.rate:
            raise ValueError(f"{rate:,} samples a second, where the model hears {self.rate:,}")
        if length > self.samples:
            raise ValueError(f"{length / rate:.2f} s, where the model hears {self.samples / rate:.2f} s")
        return np.pad(sound.mean(axis=1), (0, self.samples - len(sound)))

    def batch(self, examples: Sequence[Array]) -> Array:
        """f32[B, samples]"""
        return np.stack(list(examples))

    def save(self, folder: Path) -> dict[str, Any]:
        return {"type": "waveform", "rate": self.rate, "samples": self.samples}
