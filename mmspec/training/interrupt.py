"""Ctrl-C between two steps instead of in the middle of one, where half of the weights would be newer than the rest."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mmspec.errors import UserError


class Interrupted(UserError):
    """The user stopped it; the message says how to go on."""


class Stop:
    """Whether Ctrl-C was pressed."""

    requested = False


@contextmanager
def stop_between_steps() -> Iterator[Stop]:
    """Note the first Ctrl-C in the value given; a second one interrupts at once, as usual.

    Only the main thread may do so; in any other, Ctrl-C stays whatever it was.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: FrameType | None) -> None:
        stop.requested = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
