"""What a server takes, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

from mmspec.errors import UserError
from mmspec.runtime.writing import TOKENS


@dataclass(frozen=True)
class Limits:
    """body_bytes of a request; `pixels` of a picture before it is resized; `inside`: requests at a time, more are refused (429);
    `seconds` for a request to arrive, and again to be answered; `batch`: samples that the model is run on together; `delay_ms`: how
    long the first of a batch waits for others; `tokens`: that are written for a request at most."""

    body_bytes: int = 8 << 20
    pixels: int = 1 << 24
    inside: int = 256
    seconds: float = 30.0
    batch: int = 32
    delay_ms: float = 2.0
    tokens: int = TOKENS

    def __post_init__(self) -> None:
        for name in ("body_bytes", "pixels", "inside", "seconds", "batch", "tokens"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is above 0, not {getattr(self, name)}")
        if not self.delay_ms >= 0:
            raise UserError(f"delay_ms is 0 or more, not {self.delay_ms}")


DEFAULT = Limits()
