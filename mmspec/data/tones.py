"""Key words as tones: a voice that sings vowels, made from nothing but numbers.

A word is two or three vowels in a row. A vowel is a buzz (all harmonics of a pitch) that two resonances shape, as a mouth does; its
formants are those of Peterson and Barney 1952, table II, rounded. What differs from one utterance to the next is drawn:

    pitch     90 to 220 Hz, gliding by up to a fifth of it over the word
    mouth     formants times 0.9 to 1.12
    tempo     0.1 to 0.2 s a vowel; pauses up to 0.03 s
    place     the word begins anywhere that lets it end inside the second
    loudness  0.2 to 1 of the full scale
    noise     white, from 12 dB below the voice to 4 dB above it

Every word has a partner of the same vowels in the other order: what is heard on average does not tell them apart.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FORMANTS = {
    "ee": (270.0, 2290.0),
    "e": (530.0, 1840.0),
    "ah": (730.0, 1090.0),
    "aw": (570.0, 840.0),
    "oo": (300.0, 870.0),
}
WORDS = {
    "yes": ("ee", "e"),
    "no": ("e", "ee"),
    "left": ("ah", "oo"),
    "right": ("oo", "ah"),
    "up": ("aw", "ee"),
    "down": ("ee", "aw"),
    "stop": ("oo", "e", "ah"),
    "go": ("ah", "e", "oo"),
}
NAMES = tuple(WORDS)
SECONDS = 1.0
LOWEST_RATE = 6000  # twice the highest resonance and what is around it
PITCH, GLIDE = (90.0, 220.0), 0.2
MOUTH, TEMPO, PAUSE = (0.9, 1.12), (0.1, 0.2), 0.03
LOUDNESS, NOISE_DB = (0.2, 1.0), (-4.0, 12.0)
BANDWIDTHS = (80.0, 120.0)  # of the two resonances, in hertz
LONGEST = max(map(len, WORDS.values()))


def utter(words: Tensor, rate: int, generator: torch.Generator) -> Tensor:
    """An utterance of each word.   i64[B], an index into NAMES -> f32[B, rate * SECONDS], at most 1"""
    count = len(words)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    times = torch.arange(round(rate * SECONDS)) / rate
    lengths, pauses = draw(*TEMPO, LONGEST), draw(0.0, PAUSE, LONGEST)
    present = torch.tensor([[i < len(WORDS[NAMES[w]]) for i in range(LONGEST)] for w in words.tolist()])
    spans = (lengths + pauses) * present
    starts = spans.cumsum(dim=1) - spans
    whole = spans.sum(dim=1)
    begin = draw(0.0, 1.0) * (SECONDS - whole)

    inside = (times - begin[:, None]) / whole[:, None]  # 0 to 1 over the word
    pitch = draw(*PITCH)[:, None] * (1 + draw(-GLIDE, GLIDE)[:, None] * inside.clamp(0, 1))
    phase = (2 * math.pi / rate) * pitch.cumsum(dim=1)
    voice = torch.zeros(count, len(times))
    for i in range(LONGEST):
        table = torch.tensor([FORMANTS[WORDS[NAMES[w]][min(i, len(WORDS[NAMES[w]]) - 1)]] for w in words.tolist()])
        if i == 0:
            mouth = draw(*MOUTH)[:, None]
        along = (times - (begin + starts[:, i])[:, None]) / lengths[:, i : i + 1]
        swell = torch.sin(math.pi * along.clamp(0, 1)) * present[:, i : i + 1]
        voice += swell * _vowel(phase, pitch, table * mouth, rate)
    voice = voice / voice.abs().amax(dim=1, keepdim=True)
    level = voice.square().mean(dim=1, keepdim=True).sqrt() * 10 ** (-draw(*NOISE_DB)[:, None] / 20)
    sound = voice + level * torch.randn(voice.shape, generator=generator)
    return sound / sound.abs().amax(dim=1, keepdim=True) * draw(*LOUDNESS)[:, None]


def _vowel(phase: Tensor, pitch: Tensor, formants: Tensor, rate: int) -> Tensor:
    """The harmonics below half the rate, weighed by two resonances.   f32[B, T], f32[B, T], f32[B, 2] -> f32[B, T]"""
    middle = pitch.mean(dim=1)
    count = int(0.45 * rate / (PITCH[0] * (1 - GLIDE)))
    twice = 2 * torch.cos(phase)
    before, wave = torch.zeros_like(phase), torch.sin(phase)  # sin((k + 1) p) = 2 cos(p) sin(k p) - sin((k - 1) p)
    total = torch.zeros_like(phase)
    for k in range(1, count + 1):
        frequency = k * middle
        gain = sum(1 / (1 + ((frequency - formants[:, i]) / width).square()) for i, width in enumerate(BANDWIDTHS)) * (
            frequency < 0.45 * rate
        )
        total += gain[:, None] * wave
        before, wave = wave, twice * wave - before
    return total
