"""A text on three levels: words, phrases, sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, PositiveInt

from mmspec.components.blocks.transformer import TransformerStack
from mmspec.components.positions.base import SEQUENCE
from mmspec.ir import Scope, Value, unreadable
from mmspec.ir.functions import only_present, part, rearrange, softmax, sum_tokens, tanh
from mmspec.spec import Encoder


class HierarchicalText(TransformerStack, Encoder):
    """Words, the phrases that they end, and the sentence that phrases stand in; on each level, attention finds what matters.

        word      w_t = E[t]
        phrase    p_t = max_n tanh(W_n [w_{t-n+1}; ...; w_t] + b_n),   n of `phrases`, channel by channel
        sentence  s = transformer blocks over p
        of each   v = sum_t a_t x_t,   a = softmax_t(u tanh(W x_t + b))

    The value is the three v; the levels themselves are `text.word`, `text.phrase` and `text.sentence`, which a fusion may attend
    to one by one.

    Shapes   i64[B, N], mask bool[B, N] -> f32[B, 3, width]; ports f32[B, N, width]
    Raises   ShapeError: the input is no text; heads do not divide the width
    Source   phrases and levels: Hierarchical Question-Image Co-Attention, arXiv:1606.00061, sec. 3.2; attention on each level:
             Hierarchical Attention Networks for Document Classification, Yang et al. 2016, eq. 5 to 7
    Differs  transformer blocks are the sentence level; the papers have an LSTM and a GRU

        text: {type: hierarchical_text, width: 128, depth: 2, heads: 4, phrases: [1, 2, 3]}
    """

    type: Literal["hierarchical_text"] = "hierarchical_text"
    phrases: tuple[PositiveInt, ...] = Field(
        (1, 2, 3), min_length=1, description="words of a phrase, each a convolution"
    )

    def emit(self, g: Scope, ids: Value) -> Mapping[str, Value]:
        if ids.dtype != "i64":
            raise unreadable("a hierarchical_text", "token ids", ids)
        word = g.embedding("embedding", ids, ids.bound, self.width).named("word")
        phrase = self.phrases_of(g, word).named("phrase")
        sentence = self.tokens(g, phrase, SEQUENCE).named("sentence")
        levels = {"word": word, "phrase": phrase, "sentence": sentence}
        attended = [g.call(f"{name}_level", "Level", attended_to, level) for name, level in levels.items()]
        three = g.emit("concat", *(rearrange(v, "b (n d) -> b n d", n=1) for v in attended), axis=1)
        return {"": three, **levels}

    def phrases_of(self, g: Scope, word: Value) -> Value:
        """For each word, the strongest of the phrases that end there.   [B, N, D] -> [B, N, D]"""
        present = word if word.mask is None else only_present(word)  # before a text, and behind it, is nothing
        words = rearrange(present, "b n d -> b d n")
        phrase: Value | None = None
        for length in dict.fromkeys(self.phrases):
            found = g.convolution(f"phrase{length}", words, self.width, length, padding=length - 1)
            if length > 1:  # as many places as words: those that begin behind the text are no phrases
                found = part(found, 0, 1 - length, axis=2)
            found = tanh(found)
            phrase = found if phrase is None else g.emit("maximum", phrase, found)
        assert phrase is not None
        result = rearrange(phrase, "b d n -> b n d")
        result.mask = word.mask
        return result


def attended_to(g: Scope, x: Value) -> Value:
    """The tokens as one, each as much as it matters; zeros where none is present.   [B, N, D] -> [B, D]"""
    score = g.linear("score", tanh(g.linear("key", x, x.width)), 1, bias=False)
    return sum_tokens(softmax(score, axis=1, mask=x.mask).named("weight") * x)
