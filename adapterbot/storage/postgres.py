"""8 · A connection to PostgreSQL that does not wait for ever for an answer.

A server that is stopped, swapped out or behind a dead disk still acknowledges what it is sent, so that neither TCP nor
libpq notices; no setting of the server's own (`statement_timeout`) is looked at there any more either.
"""

from __future__ import annotations

import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import ConnectionTimeout

ANSWERED = 5.0  # seconds of silence after which a server that was asked is taken for gone
T = TypeVar("T")


class Connection(psycopg.Connection[Any]):
    """One that is closed where the server is silent for `ANSWERED` seconds; raises ConnectionTimeout then."""

    def wait(self, gen: PQGen[T], *arguments: Any, **options: Any) -> T:
        """What psycopg waits for all answers by."""
        return super().wait(self._heard(gen), *arguments, **options)

    def _heard(self, gen: PQGen[T]) -> PQGen[T]:
        """`gen`, which is told several times a second what has come; nothing (0) ends it after a while."""
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > ANSWERED:
                    self.close()  # else an answer that comes late would be taken for that of the next question
                    raise ConnectionTimeout(f"the server has not answered for {ANSWERED:g} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result
