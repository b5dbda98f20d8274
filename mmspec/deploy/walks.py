"""Where a text that is written step by step is compared with the same text computed at once."""

from __future__ import annotations

ALL = 24  # a row up to this long is walked through from its first token
FEW = 8  # steps of each walk through a longer one


def walks(tokens: int) -> list[tuple[int, int]]:
    """Beginnings and ends, in tokens: from one token on, from the middle, and the beginning alone; of a long row, some tokens from
    its start, its middle and at its end."""
    if tokens <= ALL:
        wanted = {(1, tokens), ((tokens + 1) // 2, tokens), (tokens, tokens)}
    else:
        wanted = {(1, 1 + FEW), (tokens // 2, tokens // 2 + FEW), (tokens - FEW, tokens), (tokens, tokens)}
    return sorted(wanted)
