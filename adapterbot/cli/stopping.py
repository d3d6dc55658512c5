"""What Ctrl-C or a polite kill ends: one line, exit code 130, and nothing is lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class StoppedError(Exception):
    """The user ended a command; its text says what becomes of the work."""


@contextmanager
def resumable() -> Iterator[None]:
    """Around a training whose checkpoint stays: what ends it, Ctrl-C or SIGTERM, is told as `StoppedError`."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError("stopped; the same command goes on from the last checkpoint") from None
    finally:
        signal.signal(signal.SIGTERM, before)
