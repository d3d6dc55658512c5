"""3 · A SQLite file that is a cache of some content: built again when the content or its format changes.

It stays in memory where the user's folder cannot be written. Readers see an old file or a whole new one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from adapterbot.home import written_by_rename

WAIT = 1.0  # seconds to wait for another process
ABOUT = "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
Fill = Callable[[sqlite3.Connection], None]


def opened(target: Path, digest: str, fill: Fill) -> sqlite3.Connection:
    """The database `target` if it was made from `digest` (content and format), else a new one that `fill` fills.

    What `fill` raises, apart from SQLite's own errors, comes through. The connection may be used from any thread,
    one at a time.
    """
    return _ready(target, digest) or _built(target, digest, fill)


def _ready(target: Path, digest: str) -> sqlite3.Connection | None:
    connection = None
    try:
        connection = sqlite3.connect(f"{target.as_uri()}?mode=rw", uri=True, timeout=WAIT, check_same_thread=False)
        if connection.execute("SELECT value FROM about WHERE key = 'digest'").fetchone() == (digest,):
            return connection
    except (OSError, sqlite3.Error):
        pass  # missing or damaged
    if connection is not None:
        connection.close()
    return None


def _built(target: Path, digest: str, fill: Fill) -> sqlite3.Connection:
    made = None
    try:
        with written_by_rename(target) as temporary, contextlib.closing(sqlite3.connect(temporary)) as new:
            _fill(new, digest, fill)
        made = _ready(target, digest)
    except (OSError, sqlite3.Error):
        pass  # a full or read-only disk, or a file that another program holds
    if made is None:
        made = sqlite3.connect(":memory:", check_same_thread=False)
        _fill(made, digest, fill)
    return made


def _fill(connection: sqlite3.Connection, digest: str, fill: Fill) -> None:
    connection.execute("PRAGMA journal_mode = OFF")  # renamed into place only when whole
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(ABOUT)
    fill(connection)
    connection.execute("INSERT INTO about VALUES ('digest', ?)", (digest,))
    connection.commit()
