"""A text that goes on: at each step the token that the model finds most likely, until one says that the text ends.

Every step computes the whole text anew: nothing is kept from one to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mmspec.reading.text import TextColumn


def written(
    module: nn.Module, inputs: Mapping[str, Tensor], head: str, text: str, column: TextColumn, most: int
) -> dict[str, Any]:
    """`text`: what was written; `tokens`: how many; `ended`: whether the model said that it ends, rather than ran out of room.

    inputs   a batch of one; of the text, its beginning
    most     tokens that are written at most
    """
    ids = inputs[text]
    begun = ids.shape[1]
    ended = False
    with torch.no_grad():
        while not ended and ids.shape[1] < min(column.length, begun + most):
            logits = module(**{**inputs, text: ids})[head]
            token = logits[:, -1].argmax(dim=1, keepdim=True)
            ended = int(token) in (column.end, column.pad)
            ids = ids if ended else torch.cat([ids, token], dim=1)
    new = ids[0, begun:].tolist()
    return {"text": column.tokenizer.decode(new), "tokens": len(new), "ended": ended}
